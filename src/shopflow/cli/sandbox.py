"""`shopflow sandbox …`: the stand-in for Amazon SES and Twilio. Prints; everything else is done in `local`."""

import sys


def serve(
    *, host: str = "127.0.0.1", port: int = 3010, latency_ms: int = 0, callbacks: str | None = None, keep: int = 100_000
) -> int:
    """Answer as Amazon SES and Twilio do, and show what was sent on a mailbox page, until SIGTERM or Ctrl-C.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 takes any free one.
    latency_ms
        How many milliseconds each message takes to be accepted.
    callbacks
        The base URL of the notification-service that is to hear of deliveries.
    keep
        How many messages are remembered; older ones are forgotten.

    Returns
    -------
    int
        The exit status: 0 after a clean stop, 1 when the address cannot be had.

    """
    import uvloop

    from shopflow.local.sandbox import serve as serve_sandbox

    def ready(url: str) -> None:
        print(f"sandbox ready at {url}", flush=True)

    try:
        uvloop.run(
            serve_sandbox(host=host, port=port, callbacks=callbacks, latency_ms=latency_ms, keep=keep, on_ready=ready)
        )
    except OSError as problem:
        print(
            f"The sandbox cannot listen on {host}:{port}: {problem.strerror}. Choose another --port.", file=sys.stderr
        )
        return 1
    return 0
