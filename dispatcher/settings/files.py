"""Files that a setting names, read so that what is wrong with one can be said in plain words.

Neither the path nor the text is ever part of that: where a path is asked for, somebody may have
written the secret itself.
"""

from pathlib import Path


class Unreadable(Exception):
    """The file can not be read."""


def text_of(path: str | Path) -> str:
    """Return the text of the file at *path*; raise Unreadable, saying why."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Unreadable(f"can not be read: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise Unreadable("can not be read: it is not UTF-8 text") from None
    except ValueError:
        raise Unreadable("can not be read: that is no path") from None


def secret_of(path: str | Path) -> str:
    """Return the secret in the file at *path*, without the white space around it."""
    secret = text_of(path).strip()
    if not secret:
        raise Unreadable("is an empty file")
    return secret
