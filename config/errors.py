"""The one error of this package.

Knows: how a refused setting is told. Promises: `str(error)` is one sentence that names the source, the setting and
what it takes, and never contains a secret. Must not know: exit codes; the command line maps the error to 2.
"""


class ConfigError(Exception):
    """A setting that does not exist or does not parse, or a file that cannot be read. Nothing was changed."""


class Because(ValueError):
    """Raised by a parser whose reason says more than "takes X, not Y". The text continues a sentence that begins with
    the setting's name.
    """
