"""How many parts an SMS is sent in: counted from the GSM 03.38 alphabet as carriers do.

Written apart from the product's own rule, so that the sandbox can contradict it.
"""

from math import ceil

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Septets or UTF-16 units in a message of one part, and in each part of a longer one.
GSM_ALONE, GSM_EACH = 160, 153
UCS_ALONE, UCS_EACH = 70, 67
EXTENDED = frozenset("\f^{}\\[~]|€")


def segments(text: str) -> int:
    """Return the number of parts: 160 septets in one or 153 each, 70 UTF-16 units in one or 67 each."""
    if all(letter in BASIC or letter in EXTENDED for letter in text):
        septets = sum(2 if letter in EXTENDED else 1 for letter in text)
        return 1 if septets <= GSM_ALONE else ceil(septets / GSM_EACH)
    units = len(text.encode("utf-16-le")) // 2
    return 1 if units <= UCS_ALONE else ceil(units / UCS_EACH)
