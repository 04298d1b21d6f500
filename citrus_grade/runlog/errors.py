"""What goes wrong with logs, said to people."""


class LogError(ValueError):
    """A recording that cannot be read as asked; the message says what, where and what to do."""
