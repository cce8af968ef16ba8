"""A shop that is wrong on purpose, in every way that the attack looks for: no signature, owner, limit or escaping.

It listens on loopback for the length of a test, and stores nothing
but in memory and in the log that it writes too much in.
"""

import asyncio
import base64
import json
import traceback
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

PATHS = {
    "auth": ["POST /auth/register", "POST /auth/login", "GET /auth/users/{user_id}", "POST /auth/logout"],
    "orders": ["GET /orders", "POST /orders", "GET /orders/{order_id}", "DELETE /everything"],
    "notifications": ["POST /notifications/callbacks/ses", "GET /notifications"],
}
SAMPLES = {"POST /auth/register": {"email": "jane@example.com", "password": "x"}, "POST /orders": {"items": []}}


def token(kind: str, claims: dict[str, Any]) -> str:
    """Three parts, of which nobody will ever look at the last one."""
    parts = ({"alg": "none", "typ": kind}, claims, uuid4().hex)
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts)


def claims_of(request: web.Request) -> dict[str, Any]:
    """Whatever the middle part says; without a token, an admin."""
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token", "")
    try:
        middle = shown.split(".")[1]
        found: Any = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {"sub": str(uuid4()), "role": "admin", "email": "anybody@example.com"}
    return found if isinstance(found, dict) else {"sub": str(found), "role": "admin"}


class WeakShop:
    """All three services and the mailbox as one application."""

    def __init__(self, log: Path) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        self.mails: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._log = log

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application(middlewares=[self._careless])
        app.add_routes(
            [
                web.post("/auth/register", self.register),
                web.post("/auth/login", self.login),
                web.post("/auth/refresh", self.pair),
                web.route("*", "/auth/logout", self.nothing),
                web.post("/auth/validate", self.validate),
                web.post("/auth/password", self.nothing),
                web.get("/auth/sessions", self.sessions),
                web.delete("/auth/sessions/{id}", self.nothing),
                web.get("/auth/users", self.everybody),
                web.get("/auth/users/{id}", self.profile),
                web.patch("/auth/users/{id}", self.edit),
                web.delete("/auth/users/{id}", self.nothing),
                web.get("/orders", self.listed),
                web.post("/orders", self.order),
                web.get("/orders/{id}", self.one),
                web.get("/orders/{id}/history", self.everybody),
                web.patch("/orders/{id}/status", self.nothing_at_all),
                web.get("/notifications", self.listed),
                web.post("/notifications/callbacks/ses", self.nothing),
                web.delete("/everything", self.nothing),
                web.get("/messages", self.mailbox),
                web.get("/metrics", self.metrics),
                web.get("/openapi.json", self.described),
                web.get("/docs{tail:.*}", self.file),
                web.get("/", self.file),
            ]
        )
        return app

    @web.middleware
    async def _careless(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.paths.append(request.path)
        with self._log.open("a") as log:
            log.write(
                f"{request.method} {request.path} {request.headers.get('Authorization')} {await request.text()}\n"
            )
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPException as refused:
            answer = web.Response(status=refused.status, text="<h1>error</h1>", content_type="text/html")
        except Exception:  # noqa: BLE001 - it is wrong on purpose
            answer = web.Response(status=500, text=traceback.format_exc())
        answer.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        answer.headers["Server"] = "weak/1.2.3"
        answer.set_cookie("session", "1")
        return answer

    async def register(self, request: web.Request) -> web.Response:
        body = await request.json()
        user = {"id": str(uuid4()), "role": "customer", "is_active": True, **body}
        self.users[body["email"]] = user
        return web.json_response({**user, "id": user["id"]}, status=201)

    async def login(self, request: web.Request) -> web.Response:
        body = await request.json()
        user = self.users.get(str(body.get("email")))
        if user is None:
            return web.json_response({"detail": "There is no such user."}, status=401)
        await asyncio.sleep(0.05)  # the hash that an unknown address does not cost
        if user["password"] != body.get("password"):
            return web.json_response({"detail": "The password is wrong."}, status=401)
        return self._pair({"sub": user["id"], "role": user["role"], "email": user["email"], "iat": 0, "exp": 1})

    async def pair(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._pair({"sub": str(uuid4()), "role": "customer", "of": str(body)[:5], "iat": 0, "exp": 1})

    def _pair(self, claims: dict[str, Any]) -> web.Response:
        return web.json_response({"access_token": token("JWT", claims), "refresh_token": token("refresh", claims)})

    async def validate(self, request: web.Request) -> web.Response:
        said = claims_of(request)
        return web.json_response({"valid": True, "user": {"id": said.get("sub"), **said}})

    async def profile(self, request: web.Request) -> web.Response:
        asked = request.match_info["id"]
        user = next((each for each in self.users.values() if each["id"] == asked), None)
        return web.json_response(user or {"detail": "There is no such user."}, status=200 if user else 404)

    async def edit(self, request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    async def sessions(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": str(uuid4())}]})

    async def everybody(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [*self.users.values()], "actor_id": 1})

    async def listed(self, _: web.Request) -> web.Response:
        pages = {"pagination": {"total_items": len(self.orders)}, "next_cursor": "MQ"}
        return web.json_response({"data": self.orders, **pages})

    async def order(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = json.dumps(body)
        if "pg_sleep" in text:
            await asyncio.sleep(0.3)
        order = {"id": str(uuid4()), "status": "pending", "user_id": claims_of(request).get("sub"), **body}
        self.orders.append(order)
        name = body["items"][0]["product_name"] if body.get("items") else ""
        html = f"<h1>Thank you</h1><p>{name}</p>".replace("{{ 191 * 7 }}", "1337")
        self.mails.append({"subject": f"Order {name}", "html": html, "text": name, "headers": {"Bcc": "thief"}})
        return web.json_response(order, status=201)

    async def one(self, request: web.Request) -> web.Response:
        order = next((each for each in self.orders if each["id"] == request.match_info["id"]), None)
        return web.json_response(order, status=200 if order else 404)

    async def mailbox(self, _: web.Request) -> web.Response:
        return web.json_response(self.mails)

    async def nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def nothing_at_all(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text="\n".join(f'requests{{path="{path}"}} 1' for path in self.paths))

    async def described(self, _: web.Request) -> web.Response:
        paths: dict[str, Any] = {}
        for each in (*PATHS["auth"], *PATHS["orders"], *PATHS["notifications"]):
            method, path = each.split()
            content = {"application/json": {"example": SAMPLES.get(each, {"status": "x"})}}
            paths.setdefault(path, {})[method.lower()] = {"requestBody": {"content": content}}
        return web.json_response({"paths": paths})

    async def file(self, request: web.Request) -> web.Response:
        leads_away = "etc/passwd" in request.path
        page = f'<script>alert(1)</script><script src="http://{request.host}/x.js">'
        text = "root:x:0:0:root" if leads_away else page
        return web.Response(text=text, content_type="text/html")
