// The mailbox page: asks for the overview once a second, changes only what is new, shows the chosen message.
"use strict";

const at = (id) => document.getElementById(id);
const state = { channel: "", search: "", tag: null, messages: [], shown: null, tab: "html", pressed: null, callbacks: false };
const rows = new Map();
const PHONE = '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 5.5A2.5 2.5 0 0 1 5.5 3h9A2.5 2.5 0 0 1 17 5.5v5a2.5 2.5 0 0 1-2.5 2.5H9l-4 3.5V13A2.5 2.5 0 0 1 3 10.5v-5ZM6.5 8h.1m3.3 0h.1m3.4 0h.1"/></svg>';

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const clock = (instant) => new Date(instant).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function ago(instant) {
  const seconds = Math.max(0, (Date.now() - new Date(instant)) / 1000);
  if (seconds < 10) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? clock(instant) : new Date(instant).toLocaleDateString([], { day: "numeric", month: "short" });
}

function hue(text) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

async function refresh() {
  const query = new URLSearchParams();
  if (state.channel) query.set("channel", state.channel);
  if (state.search) query.set("search", state.search);
  try {
    const headers = state.tag ? { "If-None-Match": state.tag } : {};
    const answer = await fetch(`/overview?${query}`, { headers, cache: "no-store" });
    live(answer.ok || answer.status === 304);
    if (answer.ok) {
      state.tag = answer.headers.get("ETag");
      show(await answer.json());
    }
  } catch {
    live(false);
  }
  for (const [, row] of rows) put(row.time, ago(row.message.received_at));
}

function live(yes) {
  at("live").classList.toggle("away", !yes);
  put(at("live").lastElementChild, yes ? "Live" : "Not answering");
}

function show(overview) {
  const first = state.messages.length === 0;
  state.messages = overview.messages;
  state.callbacks = overview.callbacks;
  for (const element of document.querySelectorAll(".reports")) element.hidden = !overview.callbacks;
  put(at("count-all"), String(overview.counts.email + overview.counts.sms));
  put(at("count-email"), String(overview.counts.email));
  put(at("count-sms"), String(overview.counts.sms));
  at("clear").disabled = overview.counts.email + overview.counts.sms === 0;
  showFaults(overview.faults);
  showList(overview.messages, first);
  open();
}

function showFaults(faults) {
  at("faults").hidden = faults.length === 0;
  at("fault-list").replaceChildren(...faults.map((fault) => {
    const parts = [fault.channel === "email" ? "E-mail" : "SMS", fault.mode.replaceAll("_", " "), fault.status, fault.code];
    if (fault.mode === "stall") parts.push(`${fault.seconds ?? 30} s`);
    if (fault.to) parts.push(`for ${fault.to}`);
    parts.push(fault.count ? `· ${fault.count} more` : "· until ended");
    return make("li", "", parts.filter((part) => part !== undefined && part !== null).join(" "));
  }));
}

function showList(messages, first) {
  const kept = new Set(messages.map((message) => message.id));
  for (const [id, row] of rows) if (!kept.has(id)) { row.item.remove(); rows.delete(id); }
  let before = at("list").firstElementChild;
  for (const message of messages) {
    const row = rows.get(message.id) ?? makeRow(message, !first);
    row.message = message;
    mark(row, message);
    if (row.item === before) before = before.nextElementSibling;
    else at("list").insertBefore(row.item, before);
  }
  const filtered = state.search !== "" || state.channel !== "";
  document.body.classList.toggle("bare", messages.length === 0);
  at("none").hidden = messages.length > 0 || !filtered;
  put(at("none"), state.search ? "No message to a recipient like this." : "No message of this kind yet.");
}

function makeRow(message, isNew) {
  const item = make("li");
  const link = make("a", isNew ? "row new" : "row");
  link.href = `#${message.id}`;
  const face = make("span", "face");
  face.setAttribute("aria-hidden", "true");
  face.style.setProperty("--hue", hue(message.to));
  if (message.channel === "sms") face.innerHTML = PHONE;
  else face.textContent = (message.to[0] ?? "?").toUpperCase();
  const time = make("time", "", ago(message.received_at));
  time.dateTime = message.received_at;
  const what = message.channel === "sms" ? message.text ?? "" : message.subject || "(no subject)";
  const badge = make("span", "mark");
  link.append(face, make("span", "who", message.to), time, make("span", "what", what), badge);
  item.append(link);
  const row = { item, link, time, badge, message };
  rows.set(message.id, row);
  return row;
}

function mark(row, message) {
  const plain = message.status === "accepted" || message.status === "queued";
  put(row.badge, plain ? "" : message.status);
  row.badge.classList.toggle("good", message.status === "delivered");
  row.badge.classList.toggle("bad", ["bounced", "complained", "undelivered"].includes(message.status));
}

const chosen = () => decodeURIComponent(location.hash.slice(1));

// Shows what the address names; on a wide screen the newest message when it names none.
function open() {
  const wide = matchMedia("(min-width: 761px)").matches;
  const id = chosen() || (wide ? state.shown && rows.has(state.shown) ? state.shown : state.messages[0]?.id : "");
  const message = rows.get(id)?.message;
  document.body.classList.toggle("reading", Boolean(message && chosen()));
  for (const [key, row] of rows) row.link.setAttribute("aria-current", String(key === id));
  at("empty").hidden = Boolean(message);
  at("mail").hidden = message?.channel !== "email";
  at("sms").hidden = message?.channel !== "sms";
  put(at("empty-title"), chosen() && !message && state.messages.length ? "This message is gone" : "Nothing here yet");
  if (message?.channel === "email") openMail(message);
  if (message?.channel === "sms") openSms(message);
  if (!message) state.shown = null;
}

function openMail(message) {
  if (state.shown === message.id) return;
  state.shown = message.id;
  put(at("mail-subject"), message.subject || "(no subject)");
  put(at("mail-from"), message.from);
  put(at("mail-to"), message.to);
  put(at("mail-id"), message.id);
  at("mail-time").dateTime = message.received_at;
  put(at("mail-time"), new Date(message.received_at).toLocaleString());
  at("frame").src = `/messages/${encodeURIComponent(message.id)}/html`;
  at("view-text").textContent = at("view-raw").textContent = "";
  choose(state.tab);
}

async function choose(tab) {
  state.tab = tab;
  for (const name of ["html", "text", "raw"]) {
    const selected = name === tab;
    at(`tab-${name}`).setAttribute("aria-selected", String(selected));
    at(`tab-${name}`).tabIndex = selected ? 0 : -1;
    at(`view-${name}`).hidden = !selected;
  }
  at("widths").hidden = tab !== "html";
  if (tab === "html" || !state.shown) return;
  const id = state.shown;
  const answer = await fetch(`/messages/${encodeURIComponent(id)}${tab === "raw" ? "/raw" : ""}`);
  const text = tab === "raw" ? await answer.text() : (await answer.json()).text;
  if (state.shown === id) at(`view-${tab}`).textContent = text ?? "This message has no text part.";
}

function openSms(message) {
  const talk = state.messages.filter((other) => other.channel === "sms" && other.to === message.to).reverse();
  const key = talk.map((other) => other.id + other.status).join() + message.id;
  if (state.talk === key && state.shown === message.id) return;
  state.talk = key;
  state.shown = message.id;
  put(at("sms-from"), message.from);
  put(at("sms-to"), message.to);
  let day = "";
  const items = [];
  for (const other of talk) {
    const today = new Date(other.received_at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
    if (today !== day) items.push(make("li", "day", day = today));
    items.push(bubble(other, other.id === message.id));
  }
  at("bubbles").replaceChildren(...items);
  at("bubbles").querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
}

function bubble(message, pressed) {
  const item = make("li");
  const button = make("button", "bubble");
  button.type = "button";
  button.setAttribute("aria-pressed", String(pressed));
  const text = message.text ?? "(too old to be kept)";
  const small = make("small", "", `${clock(message.received_at)} · `);
  const parts = message.segments === 1 ? "1 segment" : `${message.segments} segments`;
  small.append(make("span", message.segments > 1 ? "many" : "", parts), ` · ${[...text].length} characters`);
  if (message.status !== "queued") small.append(` · ${message.status}`);
  button.append(make("p", "", text), small);
  button.addEventListener("click", () => { location.hash = message.id; });
  item.append(button);
  return item;
}

async function report(event) {
  const answer = await fetch("/callbacks", { method: "POST", body: JSON.stringify({ message: state.shown, event }) });
  const told = await answer.json();
  toast(told.url ? `${told.url} answered ${told.status ?? told.answer}` : told.detail);
  refresh();
}

function toast(text) {
  put(at("toast"), text);
  at("toast").hidden = false;
  clearTimeout(state.toast);
  state.toast = setTimeout(() => { at("toast").hidden = true; }, 4000);
}

async function clear(button) {
  if (!button.classList.contains("sure")) {
    button.classList.add("sure");
    put(button, "Clear everything?");
    setTimeout(() => { button.classList.remove("sure"); put(button, "Clear"); }, 3000);
    return;
  }
  await fetch("/messages", { method: "DELETE" });
  button.classList.remove("sure");
  put(button, "Clear");
  location.hash = "";
  refresh();
}

function filter() {
  state.tag = null;
  refresh();
}

function press(group, button) {
  for (const other of group) other.setAttribute("aria-pressed", String(other === button));
}

function move(step) {
  const links = [...document.querySelectorAll(".row")];
  const here = links.findIndex((link) => link.getAttribute("aria-current") === "true");
  const next = links[Math.min(links.length - 1, Math.max(0, here + step))];
  if (next) { location.hash = next.hash; next.focus(); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input")) {
    if (event.key === "Escape") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); event.target.blur(); }
    return;
  }
  const tabs = ["html", "text", "raw"];
  if (event.target.matches("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const next = tabs[(tabs.indexOf(state.tab) + (event.key === "ArrowRight" ? 1 : 2)) % 3];
    choose(next);
    at(`tab-${next}`).focus();
    event.preventDefault();
  } else if (event.key === "/") { at("search").focus(); event.preventDefault(); }
  else if (event.key === "j" || (event.key === "ArrowDown" && event.target.closest(".side, body > main > nav"))) { move(1); event.preventDefault(); }
  else if (event.key === "k" || (event.key === "ArrowUp" && event.target.closest(".side"))) { move(-1); event.preventDefault(); }
  else if (event.key === "Escape") location.hash = "";
});

const channels = [...document.querySelectorAll("[data-channel]")];
for (const button of channels) button.addEventListener("click", () => { press(channels, button); state.channel = button.dataset.channel; filter(); });
const widths = [...document.querySelectorAll("[data-width]")];
for (const button of widths) button.addEventListener("click", () => { press(widths, button); at("view-html").classList.toggle("phone", button.dataset.width === "phone"); });
for (const tab of ["html", "text", "raw"]) at(`tab-${tab}`).addEventListener("click", () => choose(tab));
for (const button of document.querySelectorAll("[data-event]")) button.addEventListener("click", () => report(button.dataset.event));
at("search").addEventListener("input", (event) => { state.search = event.target.value.trim(); filter(); });
at("clear").addEventListener("click", (event) => clear(event.currentTarget));
at("end-faults").addEventListener("click", async () => { await fetch("/faults", { method: "DELETE" }); refresh(); });
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

choose("html");
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 1000);
