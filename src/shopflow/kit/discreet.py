"""A Struct that never shows what it holds: for passwords, their hashes, and tokens (A17)."""

import msgspec


class Discreet(msgspec.Struct, frozen=True):
    """A Struct whose `repr` names its fields only, so that no log line and no error can repeat a secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.__struct_fields__)})"
