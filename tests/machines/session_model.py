"""What a session is, in thirty lines: what a refresh token is good for, and which access tokens hold (A1-A4, R76).

Written from the rules and not from the code that it judges. Instants are microseconds on a clock of the test's own.
"""

from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 10**6
DAY: Final = 86400 * SECOND


@dataclass
class Token:
    """A refresh token: when it expires, and when it was first used."""

    expires: int
    used: int | None = None


@dataclass
class Session:
    """What one sign-in began."""

    ends: int
    tokens: list[Token]
    over: bool = False


@dataclass
class Model:
    """One user's sessions, and of the access tokens given out, in order, whether they hold."""

    active: bool = True
    sessions: list[Session] = field(default_factory=list)
    access: list[bool] = field(default_factory=list)

    def verdict(self, session: Session, number: int, now: int) -> str:
        """What showing a token comes to."""
        shown, successor = session.tokens[number], next(iter(session.tokens[number + 1 :]), None)
        if session.over or not self.active or now >= min(shown.expires, session.ends):
            return "refused"
        if shown.used is None or successor is None:
            return "rotated"
        if successor.used is None and now - shown.used <= 300 * SECOND:
            return "successor"
        return "newest" if now - shown.used <= 10 * SECOND else "reuse"

    def show(self, session: Session, number: int, now: int) -> int | None:
        """The number of the token that is answered; None for a refusal."""
        verdict = self.verdict(session, number, now)
        if verdict == "rotated":
            session.tokens[number].used = now
            session.tokens.append(Token(min(whole(now) + 30 * DAY, session.ends)))
        if verdict == "reuse":
            session.over = True
            self.end_access()
        if verdict in {"refused", "reuse"}:
            return None
        self.access.append(True)
        return number + 1 if verdict == "successor" else len(session.tokens) - 1

    def sign_in(self, now: int) -> bool:
        """Whether a session began."""
        if self.active:
            self.sessions.append(Session(whole(now) + 90 * DAY, [Token(whole(now) + 30 * DAY)]))
            self.access.append(True)
        return self.active

    def sign_out(self, session: Session, number: int, now: int, *, everywhere: bool) -> None:
        """Ends one session or all; a token that does not hold ends nothing."""
        if not session.over and now < min(session.tokens[number].expires, session.ends):
            session.over = True
            if everywhere:
                self.end_all()

    def end_all(self) -> None:
        """Ends every session and every access token."""
        for each in self.sessions:
            each.over = True
        self.end_access()

    def end_access(self) -> None:
        """Ends every access token that was given out."""
        self.access = [False] * len(self.access)


def whole(now: int) -> int:
    """The beginning of the second, as tokens write instants."""
    return now - now % SECOND
