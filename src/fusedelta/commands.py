"""What the commands of the command line do; `fusedelta.cli` reads their arguments."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import chdir, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import fusedelta as fd
from fusedelta import choices, demos, outputs, plots, text
from fusedelta.encoding import Categorical, Encoding, Task, detect_task
from fusedelta.progress import show
from fusedelta.tables import Table, are_numbered, load_bundled, read_csv, write_csv
from fusedelta.tabular import TableModel, split_rows
from fusedelta.validation import DTYPES, integer

__all__ = ["compare", "demo", "info", "predict", "train"]


def train(options: Namespace) -> None:
    """Train a network on a table, report its figures, and save and draw what is wanted."""
    _check_outputs(options)
    whole, target = _training_table(options)
    table = _with_values(whole, target, options)
    task = options.task or detect_task(table, target)
    encoding, rows, held_out = _encode(table, target, task, options)
    model = _build(encoding, len(rows), options)
    _rehearse(model, options)
    X, y = encoding.inputs(encoding.complete(table)[0]), encoding.targets(table)
    parts = {"train": (X[rows], y[rows])}
    if held_out.size:
        parts["validation"] = (X[held_out], y[held_out])
    show(_describe(table, model, options))
    if len(table) < len(whole):
        show(f"{len(whole) - len(table)} rows with missing values are left out")
    if not options.quiet:
        show("")
    history = _fit(model.net, parts, options)
    show(_figures(model, parts))
    if options.save:
        model.save(options.save)
        show(f"model: {options.save}")
    if options.plot:
        plots.draw_history(history, options.plot, f"Training on {Path(table.source).name}")
        show(f"plot: {options.plot}")


def predict(options: Namespace) -> None:
    """Write a saved model's predictions for a table as CSV."""
    for name in ("model", "data"):
        outputs.check_apart(**{name: getattr(options, name)}, output=options.output)
    if options.output:
        outputs.check_writable(options.output)
    model = TableModel.load(options.model)
    header = options.header
    if header is None:  # its columns are found by name, or it was trained without names
        header = not are_numbered(column.name for column in model.encoding.features)
    table = read_csv(options.data, header)
    if not header:
        table = model.encoding.numbered(table)
    columns = model.predictions(table, options.proba)
    with (
        open(options.output, "w", encoding="utf-8", newline="")
        if options.output
        else nullcontext(sys.stdout)
    ) as file:
        write_csv(file, columns)


def demo(options: Namespace) -> None:
    """Train one of four small networks from texts on backpropagation, and report its figures."""
    demos.run(options.name, options.dtype, options.seed, options.plot)


def compare(options: Namespace) -> None:
    """Time the compiled engine beside its NumPy twin, and check that they agree."""
    if options.names and options.layers:
        raise ValueError("expected either names of demos or --layers, not both")
    for name in ("batch", "activation", "seed"):
        given = getattr(options, name)
        if given is not None and not options.layers:
            raise ValueError(
                f"{name}: expected it with --layers, as demos have their own; got {given}"
            )
    for dtype in [options.dtype] if options.dtype else DTYPES:
        show(f"{_comparisons(dtype, options)}\n")
    show("time per training step; largest relative difference after a few steps")


def info(options: Namespace) -> None:
    """Print how the package was built and what it runs on."""
    show(fd.show_config())


def _comparisons(dtype: str, options: Namespace) -> str:
    """Return a table of comparisons in one dtype."""
    header = (dtype, "batch", "fused", "NumPy", "ratio", "difference", "")
    rows = []
    for name, net, X, y in _networks_to_compare(dtype, options):
        result = fd.compare(net, X, y, verbose=0, profile=options.profile)
        if options.profile:
            show(f"{name}, {dtype}\n{result.passes}\n")
        times = (text.duration(each.median) for each in (result.compiled, result.reference))
        verdict = "agree" if result.agrees else "DISAGREE"
        ratio, difference = f"{result.ratio:.1f}", f"{result.difference:.1e}"
        rows.append((name, str(len(X)), *times, ratio, difference, verdict))
    return text.table(header, rows)


def _networks_to_compare(
    dtype: str, options: Namespace
) -> Iterator[tuple[str, fd.Sequential, np.ndarray, np.ndarray]]:
    """Yield the name and the network of each comparison, with its batch."""
    if options.layers:
        yield _random_network(dtype, options)
        return
    for name in options.names or demos.DEMOS:
        net, problem = demos.build(name, dtype)
        yield name, net, problem.X, problem.y


def _random_network(
    dtype: str, options: Namespace
) -> tuple[str, fd.Sequential, np.ndarray, np.ndarray]:
    """Return a network of the sizes asked for, with a linear output, and random data."""
    if len(options.layers) < 2:
        raise ValueError(f"layers: expected inputs and outputs such as 8,4; got {options.layers}")
    inputs, *hidden, outputs = options.layers
    batch = integer("batch", 32 if options.batch is None else options.batch)
    activation, seed = options.activation or "tanh", options.seed or 0
    net = fd.Sequential(
        [*(fd.Dense(units, activation) for units in hidden), fd.Dense(outputs)],
        loss="mean_squared_error",
        input_shape=(inputs,),
        dtype=dtype,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    X, y = (rng.standard_normal((batch, n)).astype(dtype) for n in (inputs, outputs))
    return f"{'-'.join(map(str, options.layers))} {activation}", net, X, y


def _training_table(options: Namespace) -> tuple[Table, str]:
    """Return the table that was asked for, and the name of its target."""
    if (options.data is None) == (options.dataset is None):
        raise ValueError("expected either a CSV file or --dataset; see fusedelta train -h")
    if options.dataset and options.header is not None:
        raise ValueError("header: expected --header and --no-header with a CSV file only")
    table = (
        read_csv(options.data, options.header) if options.data else load_bundled(options.dataset)
    )
    kept = table.without(options.drop)
    if not kept.columns:
        raise ValueError(f"drop: expected {table.source} to keep some of its columns, got all")
    target = options.target if options.target is not None else list(kept.columns)[-1]
    kept.require([target])
    return table, target


def _with_values(table: Table, target: str, options: Namespace) -> Table:
    """Return the rows that can be trained on: without gaps in what is not going to be filled."""
    if options.missing == "error":
        return table
    names = [name for name in table.columns if name not in options.drop]
    rows = np.flatnonzero(~table.gaps(names if options.missing == "drop" else [target]))
    if not rows.size:
        raise ValueError(f"{table.source}: expected a row without missing values, got none")
    return table.at(rows)


def _encode(
    table: Table, target: str, task: Task, options: Namespace
) -> tuple[Encoding, np.ndarray, np.ndarray]:
    """Return how the columns are encoded, the rows for training, and those held out."""
    everything = np.arange(len(table))  # what is wrong with any row comes first
    encoding = Encoding.fit(table, target, task, everything, options.drop, options.missing)
    labels = encoding.targets(table) if task == "classification" else np.zeros(len(table))
    rows, held_out = split_rows(labels, options.validation_split, options.seed)
    encoding = Encoding.fit(table, target, task, rows, options.drop, options.missing)
    return encoding, rows, held_out


def _build(encoding: Encoding, m: int, options: Namespace) -> TableModel:
    """Make the model that was asked for, to be trained on m rows."""
    rate, schedule, warmup = options.learning_rate, options.schedule, options.warmup
    epochs, batch = integer("epochs", options.epochs), integer("batch_size", options.batch_size)
    names = ("momentum", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
    settings = {name: getattr(options, name) for name in names}
    optimizer = choices.make_optimizer(options.optimizer, learning_rate=rate, **settings)
    if schedule is None and warmup is not None:
        raise ValueError(f"warmup: expected it with --schedule cosine, got {warmup} alone")
    if schedule is not None:
        steps = -(-m // batch) * epochs
        rate = choices.make_schedule(schedule, optimizer.learning_rate, steps, warmup)
        optimizer = replace(optimizer, learning_rate=rate)
    regularizer = choices.make_regularizer(options.l1, options.l2)
    hidden = choices.hidden_layers(
        *(options.hidden, options.activation),
        *(options.normalization, options.dropout, regularizer),
    )
    return TableModel.build(
        encoding,
        hidden,
        optimizer,
        options.loss,
        options.label_smoothing,
        regularizer,
        dtype=options.dtype,
        seed=options.seed,
    )


def _check_outputs(options: Namespace) -> None:
    """Find out before the training, not after it, that a result cannot be written."""
    names = ("data", "save", "checkpoint", "csv_log", "plot")
    outputs.check_apart(**{name: getattr(options, name) for name in names})
    for path in filter(None, (options.save, options.checkpoint, options.csv_log)):
        outputs.check_writable(path)
    for path in filter(None, (options.save, options.checkpoint)):
        outputs.check_directory(path)  # where a model is made before it takes its place
    if options.plot:
        plots.check_path(options.plot)


def _rehearse(model: TableModel, options: Namespace) -> None:
    """Save the untrained model, to find out what `save` has against it."""
    if options.save:
        with TemporaryDirectory() as rehearsal, chdir(rehearsal):
            model.save(Path(options.save).name)


def _fit(net: fd.Sequential, parts: dict[str, Any], options: Namespace) -> fd.History:
    """Train, with all that is wanted beside; a training that diverges is an error."""
    X, y = parts["train"]
    held_out = parts.get("validation")
    callbacks = _callbacks(held_out is not None, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fd.DivergenceWarning)
        history = net.fit(
            X,
            y,
            options.epochs,
            options.batch_size,
            verbose=0 if options.quiet else 1,
            validation_data=held_out,
            callbacks=callbacks,
            profile=options.profile,
            class_weight=options.class_weight,
        )
    if options.profile and options.quiet:
        show(net.profile_)
    if history.divergence is not None:
        raise ValueError(
            f"the training diverged: {history.divergence}; "
            f"try a learning rate below --lr {net.learning_rate:g}"
        )
    for callback in callbacks:
        if isinstance(callback, fd.EarlyStopping):
            show(f"\nweights of epoch {callback.best_epoch + 1}, the best of {len(history)}")
    return history


def _callbacks(has_held_out: bool, options: Namespace) -> list[fd.Callback]:
    callbacks: list[fd.Callback] = []
    if options.early_stopping is not None:
        if not has_held_out:
            raise ValueError("early-stopping: expected rows held out, got --validation-split 0")
        patience = integer("early-stopping", options.early_stopping)
        callbacks.append(fd.EarlyStopping(patience=patience, restore_best_weights=True))
    if options.checkpoint:
        monitor = "val_loss" if has_held_out else "loss"
        callbacks.append(fd.ModelCheckpoint(options.checkpoint, monitor, save_best_only=True))
    if options.csv_log:
        callbacks.append(fd.CSVLogger(options.csv_log))
    return callbacks


def _describe(table: Table, model: TableModel, options: Namespace) -> str:
    """Return what is going to be trained on what, in two lines."""
    net, target = model.net, model.encoding.target
    classes = f" ({target.width} classes)" if isinstance(target, Categorical) else ""
    dense = [layer for layer in net.layers if isinstance(layer, fd.Dense)]
    sizes = [model.encoding.width, *(layer.units for layer in dense)]
    unnamed = "no header, " if are_numbered(table.columns) else ""
    hidden = f"{options.activation} and " if options.hidden else ""
    more = f"{options.normalization} normalization, " if options.normalization else ""
    more += f"dropout {options.dropout:g}, " if options.dropout is not None else ""
    return (
        f"{table.source}: {len(table)} rows, {unnamed}{len(model.encoding.features)} features, "
        f"{model.encoding.task} of {target.name!r}{classes}\n"
        f"network {'-'.join(map(str, sizes))}, {more}{hidden}{dense[-1].activation}, "
        f"{net.loss}, {options.optimizer}, {net.dtype}"
    )


def _figures(model: TableModel, parts: dict[str, Any]) -> str:
    """Return a table of the figures of merit on each part of the data."""
    scores = {part: model.score(*data) for part, data in parts.items()}
    header = ["", "rows", *scores["train"]]
    rows = [
        [part, str(len(parts[part][1])), *map(text.figure, score.values())]
        for part, score in scores.items()
    ]
    return f"\n{text.table(header, rows)}\n"
