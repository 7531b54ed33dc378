"""What may be wrong with the settings: unknown names, wrong values, secrets that are not there. One clear line each."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from weir.errors import SetupError

PREFIX = "WEIR_"
#: Names that start like settings and are read by others: by make, by `deploy`, by the supervisor's children.
NOT_SETTINGS = frozenset(
    {"WEIR_STACK", "WEIR_MAVEN_MIRROR", "WEIR_UP_ARGS", "WEIR_POSTGRES_ADMIN_PASSWORD"},
)


def check_names(env_file: Path, fields: set[str]) -> None:
    """Raises `SetupError` for the first name `WEIR_...`, in the environment or in `env_file`, that is no setting."""
    known = {PREFIX + field.upper() for field in fields}
    for name, source in [
        *((name, "") for name in os.environ),
        *((name, f" in {env_file}") for name in _names(env_file)),
    ]:
        if name.upper().startswith(PREFIX) and name.upper() not in known | NOT_SETTINGS:
            raise SetupError(f"{name}{source} is no setting{nearest(name.upper(), known)}")


def nearest(name: str, known: set[str]) -> str:
    """`: did you mean ...?`, or where the names are to be found."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ": weir/settings.py has their names"


def secrets_folder(env_file: Path) -> Path | None:
    """The folder that WEIR_SECRETS names. Raises `SetupError` when it is not there."""
    named = os.environ.get("WEIR_SECRETS") or _values(env_file).get("WEIR_SECRETS")
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise SetupError(f"WEIR_SECRETS={folder} is no folder: it must hold files such as WEIR_POSTGRES_PASSWORD")
    return folder


def require_secret(folder: Path | None, name: str, value: str) -> None:
    """Where secrets come from a folder, one that is not in it is a `SetupError` at once, not a refused login later."""
    if folder is not None and not value:
        raise SetupError(f"the secret {name} is missing: put it into a file of that name in {folder}")


def readable(path: Path | None) -> Path:
    """`path`, when it can be read. Raises `SetupError` for a certificate or key that cannot."""
    if path is None:
        raise SetupError("a certificate or its key is not given: a certificate needs both")
    try:
        path.open("rb").close()
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror}): it is named by a setting") from error
    return path


@contextmanager
def one_line() -> Iterator[None]:
    """Makes a `SetupError` of what pydantic complains of, and has the process end with its text alone."""
    try:
        yield
    except ValidationError as error:
        sys.excepthook = _say
        raise SetupError(wrong_value(error.errors())) from None
    except SetupError:
        sys.excepthook = _say
        raise


def wrong_value(errors: list[Any]) -> str:
    """The first thing wrong, with its value unless that may be a secret."""
    first: Mapping[str, Any] = errors[0]
    name = PREFIX + "_".join(str(part) for part in first["loc"]).upper().removeprefix(PREFIX)
    hidden = any(word in name for word in ("PASSWORD", "SECRET", "TOKEN", "NOTIFY"))
    value = "" if hidden else f"={first['input']}"
    text = str(first["msg"])
    return f"{name}{value}: {text[:1].lower()}{text[1:]}"


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, SetupError):
        print(f"weir: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _values(env_file: Path) -> dict[str, str]:
    lines = env_file.read_text().splitlines() if env_file.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _names(env_file: Path) -> list[str]:
    return [name.strip() for name in _values(env_file)]
