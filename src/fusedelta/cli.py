"""The command line: ``fusedelta`` or ``python -m fusedelta``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from fusedelta import __version__, activations, choices, commands, demos, tables, validation

__all__ = ["main"]

EXAMPLES = """\
examples:
  fusedelta train --dataset digits --hidden 64,64 --save model.npz
  fusedelta train flowers.csv --target species --hidden 32 --epochs 200 --plot curve.png
  fusedelta train flowers.csv --optimizer adam --epochs 1000 --early-stopping 20
  fusedelta train flowers.csv --optimizer adamw --schedule cosine --batch-norm --dropout 0.2
  fusedelta predict model.npz new_flowers.csv --proba --output predicted.csv
  fusedelta demo spiral --plot spiral.png
  fusedelta compare
  fusedelta compare --layers 8,64,64,4 --batch 32 --activation tanh
"""

#: The numbers that a training may be given: option, what it stands for, and what it does.
NUMBERS = (
    ("--momentum", "PART", "of sgd and rmsprop"),
    ("--weight-decay", "RATE", "decoupled decay of the weights"),
    ("--l1", "AMOUNT", "penalty on the sum of abs(weight)"),
    ("--l2", "AMOUNT", "penalty on the sum of weight^2"),
    ("--clipnorm", "NORM", "the most that the gradient of a W or b may have"),
    ("--clipvalue", "VALUE", "the most that an element of the gradient may be"),
    ("--global-clipnorm", "NORM", "the most that the whole gradient may have"),
    ("--label-smoothing", "PART", "of the cross-entropies: from 0 and 1 towards each other"),
)

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
BROKEN_PIPE = 141  # the same of one whose reader went away, such as `head`


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default the program's own.

    Returns
    -------
    int
        Exit status: 0; 2 after an error, which is one line on stderr; 130 after Ctrl-C.
    """
    try:
        options = _parser().parse_args(argv)
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("fusedelta: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        print(f"fusedelta: error: {_in_one_line(error)}", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are reported like all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} -h")


def _in_one_line(error: BaseException) -> str:
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    return " ".join(message.split())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fusedelta",
        description="Train small neural networks fast on a CPU.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fusedelta {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, add_arguments in (
        ("train", _add_train),
        ("predict", _add_predict),
        ("demo", _add_demo),
        ("compare", _add_compare),
        ("info", _add_info),
    ):
        run = getattr(commands, name)
        about = run.__doc__.splitlines()[0]
        subparser = subparsers.add_parser(
            name,
            help=about[0].lower() + about[1:].rstrip("."),
            description=about,
        )
        subparser.set_defaults(run=run)
        add_arguments(subparser)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "data",
        nargs="?",
        metavar="data.csv",
        help="delimited text; text columns become one input per value",
    )
    _add_header(data, "told from the rows below")
    data.add_argument(
        "--dataset", choices=tables.BUNDLED, help="real data from scikit-learn instead"
    )
    data.add_argument("--target", metavar="COLUMN", help="column to predict (default: the last)")
    data.add_argument("--drop", metavar="A,B", type=_names, default=[], help="columns to leave out")
    data.add_argument(
        "--missing",
        choices=("error", "drop", "fill"),
        default="error",
        help="rows with missing values: drop them, and predict nothing for such; or fill features "
        "in with the mean of the column or its most frequent text (default: %(default)s)",
    )
    data.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="by default texts and few-valued integers are classes, other numbers quantities",
    )
    data.add_argument(
        *("--validation-split", "--validation"),
        metavar="PART",
        type=float,
        default=0.2,
        help="part of the rows held out (default: %(default)s)",
    )
    net = parser.add_argument_group("network")
    net.add_argument(
        "--hidden",
        metavar="A,B",
        type=_hidden,
        default="64,32",
        help="units of the hidden layers, or none: a linear or logistic model "
        "(default: %(default)s)",
    )
    net.add_argument(
        "--activation",
        choices=_hidden_activations(),
        default="relu",
        help="theirs (default: %(default)s)",
    )
    between = net.add_mutually_exclusive_group()
    for kind in choices.NORMALIZATIONS:
        between.add_argument(
            f"--{kind}-norm",
            dest="normalization",
            action="store_const",
            const=kind,
            help=f"{kind} normalization before each of their activations",
        )
    net.add_argument("--dropout", type=float, metavar="PART", help="of their outputs to drop")
    _add_dtype(net, "float32")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs", type=int, default=50, help="passes over the data (default: %(default)s)"
    )
    training.add_argument(
        "--batch-size", type=int, default=32, help="rows per step (default: %(default)s)"
    )
    training.add_argument(
        "--optimizer",
        choices=choices.OPTIMIZERS,
        default="sgd",
        help="momentum is sgd with 0.9 of it (default: %(default)s)",
    )
    training.add_argument(
        *("--learning-rate", "--lr"),
        type=float,
        metavar="RATE",
        help="default: sgd 0.05, the others their own",
    )
    training.add_argument(
        "--schedule",
        type=_named,
        metavar="NAME:A,B",
        help="how the learning rate goes on, such as cosine:1000 or step:500,0.1; one of "
        f"{_schedules()}; without STEPS those of the whole training",
    )
    training.add_argument(
        "--warmup",
        type=int,
        metavar="STEPS",
        help="with --schedule cosine: steps from 0 up to the learning rate",
    )
    training.add_argument(
        "--loss", type=_named, metavar="NAME:A", help=f"one of {_losses()}; or huber:0.5, ..."
    )
    training.add_argument(
        "--class-weight",
        choices=("balanced",),
        help="classes count alike in the training, however many rows each has",
    )
    for name, metavar, about in NUMBERS:
        training.add_argument(name, type=float, metavar=metavar, help=about)
    training.add_argument(
        "--early-stopping",
        type=int,
        nargs="?",
        const=10,
        metavar="PATIENCE",
        help="end when the held-out rows' loss has not improved for so many epochs (%(const)s), "
        "with the weights that were best",
    )
    training.add_argument(
        "--seed", type=int, default=0, help="of split, weights and shuffles (default: %(default)s)"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--save",
        metavar="FILE",
        help="model (.npz or .safetensors), in Python for fusedelta.tabular.TableModel",
    )
    output.add_argument(
        "--checkpoint", metavar="FILE", help="model after each epoch that is the best so far"
    )
    output.add_argument("--csv-log", metavar="FILE", help="figures of each epoch")
    output.add_argument("--plot", metavar="FILE", help="learning curve: .png, .pdf or .svg")
    output.add_argument("--quiet", action="store_true", help="no progress")
    output.add_argument("--profile", action="store_true", help="time of each layer and pass")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="model.npz", help="what train --save wrote")
    parser.add_argument("data", metavar="new.csv", help="has the features' columns, in any order")
    _add_header(
        parser,
        "as in the table that the model was trained on",
        "those of the training, in order, with the target or without it",
    )
    parser.add_argument("--proba", action="store_true", help="add each class's probability")
    parser.add_argument("--output", metavar="FILE", help="write to a file, not to the terminal")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=demos.DEMOS, help="which network")
    parser.add_argument("--plot", metavar="FILE", help="picture: .png, .pdf or .svg")
    parser.add_argument("--seed", type=int, help="of data and weights (default: the text's)")
    _add_dtype(parser, "float64")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(demos.DEMOS)
    parser.add_argument(
        "names", nargs="*", metavar="demo", type=_demo, help=f"any of {known} (default: all)"
    )
    parser.add_argument("--layers", metavar="A,B,C", type=_sizes, help="inputs, hidden, outputs")
    parser.add_argument("--batch", type=int, help="rows per step, with --layers (default: 32)")
    parser.add_argument(
        "--activation", choices=_hidden_activations(), help="with --layers (default: tanh)"
    )
    parser.add_argument("--seed", type=int, help="of data and weights, with --layers (default: 0)")
    parser.add_argument("--dtype", choices=validation.DTYPES, help="arithmetic (default: both)")
    parser.add_argument(
        "--profile", action="store_true", help="also what each layer and pass of a step takes"
    )


def _add_info(parser: argparse.ArgumentParser) -> None:
    """Info takes no arguments."""


def _add_header(
    parser: argparse._ActionsContainer, default: str, unnamed: str = "column_1, column_2, ..."
) -> None:
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help=f"whether the first line names the columns; if not, they are {unnamed} "
        f"(default: {default})",
    )


def _add_dtype(parser: argparse._ActionsContainer, default: str) -> None:
    parser.add_argument(
        "--dtype",
        choices=validation.DTYPES,
        default=default,
        help="arithmetic (default: %(default)s)",
    )


def _hidden_activations() -> list[str]:
    return [name for name in activations.ACTIVATIONS if name != "softmax"]


def _schedules() -> str:
    return ", ".join(f"{name}:{decay.numbers}" for name, decay in choices.SCHEDULES.items())


def _losses() -> str:
    kinds = (f"{', '.join(names)} ({kind})" for kind, names in choices.LOSSES.items())
    return "; ".join(kinds)


def _named(argument: str) -> choices.Named:
    """Parse a name with numbers such as ``cosine:1000``."""
    try:
        return choices.parse_named(argument)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "expected a name, or one with numbers such as cosine:1000 or huber:0.5; "
            f"got {argument!r}"
        ) from None


def _sizes(argument: str) -> list[int]:
    """Parse layer sizes such as ``64,32``."""
    try:
        sizes = [int(part) for part in argument.split(",")]
        if min(sizes) < 1:
            raise ValueError
        return sizes
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected layer sizes such as 64,32; got {argument!r}"
        ) from None


def _hidden(argument: str) -> list[int]:
    """Parse layer sizes such as ``64,32``, or ``none``."""
    return [] if argument == "none" else _sizes(argument)


def _demo(argument: str) -> str:
    """Check the name of a demo; argparse's own choices refuse an empty list."""
    if argument not in demos.DEMOS:
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(demos.DEMOS)}; got {argument!r}"
        )
    return argument


def _names(argument: str) -> list[str]:
    """Parse names such as ``id,remark``."""
    return [part.strip() for part in argument.split(",")]
