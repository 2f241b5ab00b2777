"""What an operator can set: the environment, and the declarative file.

``environment``  ``Settings.from_env()``: each variable, its type, default and meaning.
``declared``     the TOML file: sources, management clients and applications.
``values``       how the text of a variable is read.
``files``        how a file that a setting names is read.
"""

from dispatcher.settings.declared import Declared, read_declared
from dispatcher.settings.environment import Settings

__all__ = ["Declared", "Settings", "read_declared"]
