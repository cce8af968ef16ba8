"""The first order that `up` prints: it has to survive being pasted into a shell."""

import json
import shlex

from shopflow.local.welcome import first_order, welcome

URLS = {
    part: f"http://127.0.0.1:{port}"
    for part, port in (("auth", 1), ("orders", 2), ("notifications", 3), ("mailbox", 4))
}


def test_the_first_order_is_three_lines_that_a_shell_reads_as_meant() -> None:
    lines = first_order(URLS["auth"], URLS["orders"])
    assert len(lines) == 3
    assert not any("\n" in line or "!" in line for line in lines), "a shell would take these for something else"
    register, order = shlex.split(lines[0]), shlex.split(lines[2])
    assert register[2] == "http://127.0.0.1:1/auth/register"
    assert json.loads(register[-1])["email"] in lines[1]
    assert "Authorization: Bearer $TOKEN" in order
    assert json.loads(order[-1])["items"][0]["unit_price"] == 49.99


def test_it_says_whether_mail_leaves_the_machine() -> None:
    text = welcome(URLS, email="admin@shopflow.example", password="p", real={"E-mail": True, "SMS": False})
    assert "E-mail is REAL" in text
    assert "SMS stays here" in text
    assert all(url in text for url in URLS.values())
