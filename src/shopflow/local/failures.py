"""The one kind of failure `local/` tells a person about: one line that names what is wrong and the remedy."""


class LocalFailure(Exception):
    """The platform, or one of its parts, cannot run here; `str()` is a line fit for a terminal.

    `detail` holds what the line alone cannot: the tail of a log, the output of a program. It may be empty.
    """

    def __init__(self, line: str, *, detail: str = "") -> None:
        super().__init__(line)
        self.detail = detail
        if detail:
            self.add_note(detail)  # for tracebacks, as in tests
