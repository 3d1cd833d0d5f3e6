"""The one kind of error whose text is meant for the person at the other end."""


class UserError(Exception):
    """What is wrong, where, and what to do: one or two plain sentences, no traceback.

    `exit_code` is what the command line returns: 2 for wrong usage or bad input (the default),
    1 when something that should have worked failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
