"""`If-Match` as RFC 9110 writes it: which versions it names, and what is none of its forms."""

import pytest

from shopflow.kit.conditional import if_match, strong
from shopflow.kit.problems import Kind, Problem

PENDING = strong("pending")


def holds(*lines: str, tag: str = PENDING) -> bool:
    """Whether the condition of these fields is met by a version."""
    try:
        if_match(lines).demand(tag)
    except Problem as problem:
        if problem.kind is Kind.PRECONDITION_FAILED:
            return False
        raise
    return True


@pytest.mark.row("O-20")
@pytest.mark.parametrize(
    "lines",
    [
        ('"pending"',),
        ("*",),
        (" * ",),
        ('"shipped", "pending"',),
        ('"shipped","pending"',),
        ('"shipped"', '"pending"'),
        (', ,"pending" ,,',),
        ('W/"pending", "pending"',),
        ('"a,b", "pending"',),
        ('"", "pending"',),
        ('"\u00e9", "pending"',),
    ],
)
def test_a_list_that_names_the_version_holds(lines: tuple[str, ...]) -> None:
    assert holds(*lines)


@pytest.mark.parametrize("lines", [('"shipped"',), ('W/"pending"',), ('""',), ('"Pending"',), ('"a,"', '"pending2"')])
def test_every_other_list_and_weak_tags_do_not(lines: tuple[str, ...]) -> None:
    assert not holds(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        ("",),
        (" ",),
        (",",),
        ("pending",),
        ("'pending'",),
        ('"pending',),
        ('pending"',),
        ('w/"pending"',),
        ('W/ "pending"',),
        ('"pending" "shipped"',),
        ('"pending"; "shipped"',),
        ('*, "pending"',),
        ("*", "*"),
        ("**",),
        ('"pen"ding"',),
        ('"pen\tding"',),
        ('"pen\nding"',),
        ('"pending"\n',),
        ('"\0"',),
        ('"pending "',),
    ],
)
def test_what_is_no_list_of_tags_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(Problem) as caught:
        if_match(lines)
    assert caught.value.kind is Kind.INVALID
    assert [error.field for error in caught.value.errors] == ["If-Match"]


def test_a_long_list_is_read_in_a_moment() -> None:
    assert holds(", ".join(['"x"'] * 20_000 + [PENDING]))
    with pytest.raises(Problem):
        if_match([", ".join(['"x"'] * 20_000) + "x"])
    with pytest.raises(Problem):
        if_match([" ,\t" * 10_000 + "x"])
