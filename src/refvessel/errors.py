"""The one exception that a user is meant to read."""


class UserError(Exception):
    """A mistake or a condition outside the code.

    Its text is one sentence that names the file, the field and the remedy. Commands print it without a
    traceback and end with status 1.
    """
