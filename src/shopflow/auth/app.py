"""Puts auth-service together: everything concrete is chosen here, the same for production, `up` and tests."""

from shopflow.auth import known_addresses
from shopflow.auth.attempts import LADDER, Attempts
from shopflow.auth.hashing import Hashing
from shopflow.auth.routes import routes
from shopflow.auth.sessions import FORGOTTEN_FAMILIES
from shopflow.auth.settings import SAFE_SECRET, Settings
from shopflow.auth.tokens import Signer, TokenKind, Tokens, Verified
from shopflow.kit import logs
from shopflow.kit.admission import Bounds
from shopflow.kit.metrics import Metrics
from shopflow.kit.postgres import Database
from shopflow.kit.rate_limits import Delay, RateLimit, counts_at
from shopflow.kit.service import Application, Dependency
from shopflow.kit.trims import Trims

NAME = "auth-service"
_MAX_BODY = 16 * 1024  # bytes (R34)
_PUBLIC = 128  # requests at once, few enough that validation, on the same connections, waits some 30 ms behind them


def build(settings: Settings) -> Application:
    """auth-service as these settings want it; nothing is opened yet."""
    if not settings.has_safe_secret:
        logs.logger("auth").warning("jwt_secret_too_short", at_least_bytes=SAFE_SECRET)
    metrics = Metrics()
    database = Database(settings.database_url)
    hashing = Hashing(settings.bcrypt_cost, metrics)
    counts = counts_at(settings.rate_limit_storage_url, metrics)
    tokens = Tokens(
        settings.jwt_secret, previous=settings.jwt_secret_previous, verified=_counting_verifications(metrics)
    )
    trims = Trims(database, {"sessions": FORGOTTEN_FAMILIES, "known addresses": known_addresses.FORGOTTEN})
    return Application(
        name=NAME,
        summary="Accounts, sign-in, and who shows a token.",
        routes=routes(
            database=database,
            hashing=hashing,
            tokens=tokens,
            attempts=Attempts(
                hashing, tokens, Delay(LADDER if settings.rate_limit else None, store=counts, metrics=metrics)
            ),
            common_passwords=settings.common_passwords,
            per_address=RateLimit(settings.rate_limit, name="auth", store=counts, metrics=metrics),
            per_user=RateLimit(settings.rate_limit, name="user", store=counts, metrics=metrics),
        ),
        resources=[
            database,
            counts,
            hashing,
            trims,
        ],
        dependencies=[
            Dependency(name="database", answers=database.answers, vital=True),
            Dependency(name="rate-limit-store", answers=counts.answers),
        ],
        metrics=metrics,
        max_body=_MAX_BODY,
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
        bounds=Bounds(in_flight=_PUBLIC),
    )


def _counting_verifications(metrics: Metrics) -> Verified:
    """Counts tokens by the secret that signed them: when the previous one is used no more, it can go (A14)."""
    counter = metrics.counter(
        "token_verifications_total", "Tokens whose signature held, by the secret that made it.", ("kind", "secret")
    )
    children = {(kind, signer): counter.labels(kind, signer) for kind in TokenKind for signer in Signer}

    def verified(kind: TokenKind, signer: Signer) -> None:
        children[kind, signer].inc()

    return verified
