"""The kernels for asv: seconds of a hundred runs on the best instruction set."""

from benchmarks.bench_kernels import ISAS, Case, cases, make_bench


class Kernel:
    """A kernel of a layer, a loss or an optimiser."""

    params = tuple(
        f"{case.kernel} {case.dtype} {'x'.join(map(str, case.shape))}"
        for case in cases(ISAS[:1], ["float32", "float64"])
        if case.work <= 1e8
    )
    param_names = ("kernel",)

    def setup(self, name):
        kernel, dtype, shape = name.split()
        m, k, n = map(int, shape.split("x"))
        self.bench = make_bench(Case(kernel, ISAS[0], dtype, (m, k, n)))

    def time_100_runs(self, name):
        self.bench(100)
