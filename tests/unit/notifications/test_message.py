"""Messages say what the event says, fit their channel, and stay harmless whatever text customers gave."""

from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.contracts.events import Destination, OrderCreated, OrderShipped
from shopflow.contracts.identity import Profile, Role
from shopflow.contracts.orders import Address, Line, Order, Status
from shopflow.kit.problems import Kind, Problem
from shopflow.local.sandbox.segments import segments
from shopflow.notifications.message import MOST_LINES, Renderer, money, one_line

RENDERER = Renderer()
ORDER = Order(
    id="b2c3d4e5-f6a7-8901-bcde-f12345678901",
    user_id="a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    status=Status.PENDING,
    items=[
        Line("f47ac10b-58cc-4372-a567-0e02b2c3d479", "Wireless Headphones", 2, Decimal("49.99"), Decimal("99.98")),
        Line("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "USB-C Cable", 1, Decimal("12.99"), Decimal("12.99")),
    ],
    shipping_address=Address("742 Evergreen Terrace", "Springfield", "IL", "62704", "US"),
    total_amount=Decimal("112.97"),
    currency="USD",
    notes="Please leave at the front door.",
    confirmed_at=None,
    shipped_at=None,
    delivered_at=None,
    created_at="2026-02-17T11:00:00.000Z",
    updated_at="2026-02-17T11:00:00.000Z",
)
PROFILE = Profile(
    id=ORDER.user_id,
    email="jane.doe@example.com",
    first_name="Jane",
    last_name="Doe",
    phone="+15551234567",
    role=Role.CUSTOMER,
    is_active=True,
    created_at=ORDER.created_at,
    updated_at=ORDER.updated_at,
)
DESTINATION = Destination("Springfield", "IL", "US")
CREATED = OrderCreated(ORDER.id, ORDER.user_id, "pending", Decimal("112.97"), "USD", 2, DESTINATION)
SHIPPED = OrderShipped(ORDER.id, ORDER.user_id, "shipped", "2026-02-18T09:30:00.000Z", DESTINATION)

any_text = st.text(max_size=120) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</td></tr></table><h1>",
        "{{ 7 * 7 }}{% for x in y %}${x}",
        "=?utf-8?q?hello?=",
        "javascript:alert(1)",
        "a\r\nBcc: b@example.com",
        "\u202egnp.exe\u2066",
        "e" + "\u0301" * 100,
        "<!--",
        "--><style>*{}</style>",
        "\ud800",
    ]
)
currencies = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CHF"]) | st.text(max_size=3)
amounts = st.decimals(min_value="0.01", max_value="99999999.99", places=2)


class Structure(HTMLParser):
    """The tags and attribute names of a document, in order: what no customer's text may change."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.comments = 0
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, _data: str) -> None:
        self.comments += 1

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def changed(text: str) -> tuple[Order, Profile]:
    """Put a text into every field that a customer fills in."""
    address = Address(f"x{text}", f"x{text}", f"x{text}", f"x{text}", "US")
    line = msgspec.structs.replace(ORDER.items[0], product_name=text)
    order = msgspec.structs.replace(ORDER, items=[line], shipping_address=address, notes=f"x{one_line(text)}")
    return order, msgspec.structs.replace(PROFILE, first_name=f"x{text}", last_name=text)


def test_the_confirmation_says_what_was_ordered_in_every_form() -> None:
    message = RENDERER.render(CREATED, ORDER, PROFILE)

    assert (message.type, message.subject) == ("order_created", "Order Confirmation - #b2c3d4e5")
    shown = Structure(message.html).text
    for part in (
        "#b2c3d4e5",
        "Jane",
        "Wireless Headphones",
        "2 \N{MULTIPLICATION SIGN} $49.99",
        "$99.98",
        "$112.97 USD",
        "Springfield",
    ):
        assert part in shown
    for part in ("#b2c3d4e5", "Jane", "USB-C Cable", "1 x $12.99", "Total: $112.97 USD", "front door"):
        assert part in message.text
    assert message.sms == (
        "ShopFlow: your order #b2c3d4e5 has been placed (2 items, 112.97 USD). We will text you when it ships."
    )


def test_the_shipping_note_says_when_and_where_to_in_every_form() -> None:
    message = RENDERER.render(SHIPPED, ORDER, PROFILE)

    assert (message.type, message.subject) == ("order_shipped", "Order Shipped - #b2c3d4e5")
    assert "Shipped on 18 February 2026" in Structure(message.html).text
    assert "was shipped on 18 February 2026 and is travelling to Springfield, IL, US." in message.text
    assert message.sms.startswith("ShopFlow: your order #b2c3d4e5 was shipped on 18 February 2026")


def test_the_wording_comes_from_the_event_even_when_the_order_has_moved_on() -> None:
    delivered = msgspec.structs.replace(ORDER, status=Status.DELIVERED, total_amount=Decimal(1), currency="EUR")

    assert "$112.97 USD" in RENDERER.render(CREATED, delivered, PROFILE).text
    assert RENDERER.render(SHIPPED, delivered, PROFILE).sms == RENDERER.render(SHIPPED, ORDER, PROFILE).sms


def test_an_email_names_its_language_hides_layout_from_readers_and_fetches_nothing() -> None:
    html = RENDERER.render(CREATED, ORDER, PROFILE).html

    assert '<html lang="en"' in html
    structure = Structure(html)
    assert {tag for tag, _ in structure.shape}.isdisjoint({"img", "script", "a", "link", "iframe"})
    assert "url(" not in html
    assert ("th", ("scope",)) in [(tag, names[:1]) for tag, names in structure.shape]


@pytest.mark.row("M-3")
@given(text=any_text, event=st.sampled_from([CREATED, SHIPPED]))
def test_no_customers_text_changes_the_structure_of_an_email(text: str, event: OrderCreated | OrderShipped) -> None:
    plain = Structure(RENDERER.render(event, *changed("word")).html)
    tried = Structure(RENDERER.render(event, *changed(text)).html)

    assert tried.shape == plain.shape
    assert tried.comments == plain.comments


@given(text=any_text)
def test_customers_text_is_shown_as_it_is_and_never_run(text: str) -> None:
    message = RENDERER.render(CREATED, *changed(text))

    shown = one_line(text, most=200)
    assert shown in message.text
    assert " ".join(shown.split()) in Structure(message.html).text


@pytest.mark.row("M-1", "M-9")
@given(text=st.text())
def test_one_line_leaves_nothing_that_breaks_hides_or_turns_text(text: str) -> None:
    cleaned = one_line(text, most=50)

    assert len(cleaned) <= 50
    assert cleaned.isprintable() or all(letter.isprintable() or ord(letter) > 0x9F for letter in cleaned)
    assert not set(cleaned) & set(
        "\r\n\x00\x85\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
    )
    cleaned.encode()


@pytest.mark.row("M-1", "M-2")
@given(text=any_text, event=st.sampled_from([CREATED, SHIPPED]))
def test_a_subject_is_one_short_line(text: str, event: OrderCreated | OrderShipped) -> None:
    subject = RENDERER.render(event, *changed(text)).subject

    assert len(subject) <= 255
    assert subject.isprintable()


@pytest.mark.row("M-7", "M-8")
@given(
    amount=amounts,
    currency=currencies,
    count=st.integers(min_value=1, max_value=1000),
    day=st.datetimes(),
    text=any_text,
)
def test_every_sms_fits_one_gsm_segment(amount: Decimal, currency: str, count: int, day: Any, text: str) -> None:
    created = msgspec.structs.replace(CREATED, total_amount=amount, currency=currency, items_count=count)
    shipped = msgspec.structs.replace(
        SHIPPED, shipped_at=f"{day.isoformat()}Z", shipping_address=Destination(text, text, "US")
    )

    for event in (created, shipped):
        sms = RENDERER.render(event, *changed(text)).sms
        assert segments(sms) == 1
        assert sms.isascii()
        assert "\n" not in sms


@pytest.mark.row("M-1")
@pytest.mark.parametrize("sign", ["\r", "\n", "\r\n", "\x00", "\u2028", "\u2029", "\x85", "\x0b"])
def test_no_line_break_of_a_customer_makes_a_line_in_an_email(sign: str) -> None:
    message = RENDERER.render(CREATED, *changed(f"one{sign}Bcc: two"))

    assert message.subject == "Order Confirmation - #b2c3d4e5"
    assert not [line for line in message.text.splitlines() if line.startswith("Bcc")]
    assert sign not in message.html or sign == "\n"  # which are the template's own
    assert "xone Bcc: two" in message.text


@pytest.mark.row("M-2")
@pytest.mark.parametrize("text", ["=?utf-8?q?hello=0ABcc=3A?=", "=?utf-8?b?QmNjOg==?=", "y" * 5000])
def test_an_encoded_word_and_an_endless_one_never_reach_the_subject(text: str) -> None:
    order, profile = changed(text)
    event = msgspec.structs.replace(CREATED, order_id=f"b2c3d4e5{text}")
    message = RENDERER.render(event, msgspec.structs.replace(order, notes=text[:200]), profile)

    assert message.subject == "Order Confirmation - #b2c3d4e5"
    assert text[:200] in message.text


@pytest.mark.row("M-3")
@pytest.mark.parametrize(
    "text", ["{{ 191 * 7 }}", "{% raw %}x", "${191*7}", "<%= 191*7 %>", "{# gone #}", "&lt;b&gt;", "&#60;"]
)
def test_template_syntax_and_entities_of_a_customer_are_only_text(text: str) -> None:
    message = RENDERER.render(CREATED, *changed(text))

    assert text in message.text
    assert text in Structure(message.html).text
    assert "1337" not in message.text + message.html


@pytest.mark.row("M-4")
@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "data:text/html,<script>", "https://evil.example/", "www.evil.example"]
)
def test_no_customers_text_becomes_a_link(text: str) -> None:
    for event in (CREATED, SHIPPED):
        shape = Structure(RENDERER.render(event, *changed(text)).html).shape
        assert not [tag for tag, names in shape if tag == "a" or {"href", "src", "action"} & set(names)]


@pytest.mark.row("M-8")
@pytest.mark.parametrize("text", ["\U0001f600", "\u0416", "\u00e7", "\u4e2d\u6587"])
def test_what_gsm_does_not_know_never_reaches_an_sms(text: str) -> None:
    shipped = msgspec.structs.replace(SHIPPED, shipping_address=Destination(text, text, "US"))
    for event in (CREATED, shipped):
        sms = RENDERER.render(event, *changed(text)).sms
        assert text not in sms
        assert segments(sms) == 1


@pytest.mark.row("M-9")
@pytest.mark.parametrize("turn", ["\u202e", "\u202a", "\u2066", "\u2067", "\u200f", "\u061c"])
def test_a_name_cannot_turn_the_writing_around(turn: str) -> None:
    message = RENDERER.render(CREATED, *changed(f"exe.{turn}gpj"))

    assert turn not in message.html + message.text + message.subject + message.sms
    assert "xexe.gpj" in message.text
    assert "<bdi>xexe.gpj</bdi>" in message.html


@pytest.mark.row("M-10")
def test_the_largest_order_makes_a_message_of_bounded_size_that_says_what_was_left_out() -> None:
    line = Line(ORDER.id, "&" * 200, 1_000_000, Decimal("99.99"), Decimal(99990000))
    order = msgspec.structs.replace(ORDER, items=[line] * 1000, notes="&" * 500)
    message = RENDERER.render(CREATED, order, PROFILE)

    assert len(message.html.encode()) < 100_000  # where mail clients begin to cut
    assert f"and {1000 - MOST_LINES} more lines, included in the total" in message.text
    assert f"and {1000 - MOST_LINES} more lines, included in the total" in Structure(message.html).text


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("112.97", "USD", "$112.97"),
        ("1234567.5", "USD", "$1,234,567.50"),
        ("49.9", "EUR", "€49.90"),
        ("1500", "JPY", "¥1,500"),
        ("20", "CHF", "20.00 CHF"),
        ("1E+3", "KWD", "1,000.00 KWD"),
        ("100.5", "JPY", "¥100.5"),
        ("5", "<b>", "5"),
    ],
)
def test_money_is_written_with_its_currencys_decimals(amount: str, currency: str, shown: str) -> None:
    assert money(Decimal(amount), currency) == shown


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "1E+999999", "100000000"])
def test_an_amount_that_no_order_can_have_is_refused(amount: str) -> None:
    with pytest.raises(Problem) as refusal:
        RENDERER.render(msgspec.structs.replace(CREATED, total_amount=Decimal(amount)), ORDER, PROFILE)

    assert refusal.value.kind is Kind.INVALID


@pytest.mark.parametrize("instant", ["", "yesterday", "2026-02-18", "2026-02-18T09:30:00"])
def test_an_instant_that_is_none_is_refused(instant: str) -> None:
    with pytest.raises(Problem) as refusal:
        RENDERER.render(msgspec.structs.replace(SHIPPED, shipped_at=instant), ORDER, PROFILE)

    assert refusal.value.kind is Kind.INVALID
