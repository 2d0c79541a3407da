// The page: events of Connection become text on the screen. What people typed is set as textContent, nothing else.

import { Connection } from "./connection.js";

const SHOWN = 500; // messages kept on the page
const NAMED = 3; // people who join or leave at once and are named
const FATES = {
  sent: "", missed: "some members may have missed it", refused: "not sent", unsure: "perhaps not sent",
};
const $ = (id) => document.getElementById(id);
const remembered = (key, otherwise) => {
  try { return JSON.parse(localStorage.getItem(`chat.${key}`)) ?? otherwise; } catch { return otherwise; }
};
const remember = (key, value) => {
  try { localStorage.setItem(`chat.${key}`, JSON.stringify(value)); } catch { /* private window: forget it */ }
};
const make = (tag, className = "", text = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
};
const label = (instance) => instance.slice(-4);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const asked = new URLSearchParams(location.search);

let connection = null;
let members = new Map(); // id -> { name, instance }; the first of a crowd, by name
let count = 0;
let mine = new Map(); // ref -> { item, text, received, fate } of unfinished messages; fate: see FATES
let troubled = false, welcomed = false;

function enter(room, name) {
  connection?.end();
  members = new Map();
  mine = new Map();
  troubled = welcomed = false;
  $("lines").replaceChildren();
  $("why").textContent = "";
  $("title").textContent = document.title = `Room ${room}`;
  const rooms = [room, ...remembered("rooms", []).filter((other) => other !== room)].slice(0, 8);
  remember("rooms", rooms);
  remember("name", name);
  $("rooms").replaceChildren(...rooms.map((other) => {
    const item = make("li"), button = make("button", "", other);
    button.type = "button";
    if (other === room) button.setAttribute("aria-current", "true");
    else button.onclick = () => enter(other, name);
    item.append(button);
    return item;
  }));
  $("enter").hidden = true;
  $("chat").hidden = false;
  $("text").focus();
  const url = new URL("room", location.href); // a path of its own, so that a trigger can ask for a token there only
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = asked.has("token") ? new URLSearchParams({ token: asked.get("token") }) : "";
  const opened = connection = new Connection(url.href, room, name);
  const on = (type, handler) => opened.addEventListener(type, (event) => opened === connection && handler(event.detail));
  on("state", showState);
  on("said", hear);
  on("fate", ({ ref, fate, reason }) => showFate(ref, fate, reason));
}

function leave(why = "") {
  connection?.end();
  connection = null;
  $("chat").hidden = $("served").hidden = true;
  $("enter").hidden = false;
  $("title").textContent = document.title = "Chat";
  setState("Not connected");
  $("why").textContent = why;
  $(why ? "name" : "room").focus();
}

function setState(text, trouble = false) {
  keepEnd(() => {
    $("state").textContent = text;
    $("state").classList.toggle("trouble", trouble);
  });
}

const atEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;

/** Make a change. If the newest messages were in view before, they are afterwards. */
function keepEnd(change) {
  const stay = atEnd();
  change();
  if (stay) $("log").scrollTop = $("log").scrollHeight;
}

function showState({ state, seconds, reason }) {
  if (state === "closed") return leave(`The chat closed the connection: ${reason}`);
  if (state === "in") return showLive();
  $("served").hidden = true;
  if (state === "waiting") return setState(`Connection lost, next attempt in ${seconds.toFixed(1)} s`, true);
  setState("Connecting");
}

function showLive() {
  setState(troubled ? "Connected, but Redis does not answer" : "Connected", troubled);
}

function hear(said) {
  switch (said.type) {
    case "welcome":
      troubled = false;
      $("instance").textContent = label(said.instance);
      $("instance").title = `instance ${said.instance}`;
      $("served").hidden = false;
      if (welcomed) note(`Connected again, to instance ${label(said.instance)}.`);
      if (welcomed && !said.durable) note("Messages sent while you were away are lost.");
      welcomed = true;
      if (said.gone) note("Older messages were deleted. There may be a gap here.");
      break;
    case "members":
      members = new Map(said.members.map((person) => [person.id, person]));
      count = said.count;
      showMembers();
      break;
    case "presence": {
      const left = said.left.flatMap((id) => members.get(id) ?? []);
      for (const person of said.joined) members.set(person.id, person);
      for (const id of said.left) members.delete(id);
      count = said.count;
      notePeople(said.joined, "joined");
      notePeople(left, "left");
      showMembers();
      break;
    }
    case "status":
      troubled = !said.live;
      note(said.text);
      showLive();
      break;
    case "gone": note("The history of this room was deleted. There may be a gap here."); break;
    case "message": {
      const own = said.by === connection.id, sent = own && mine.get(said.ref);
      if (sent && !sent.received) {
        sent.received = true;
        sent.item.querySelector(".when").textContent = clock(said.at);
        add(sent.item, true); // its place is where the room received it
        showFate(said.ref, sent.fate ?? "sent");
      } else {
        add(message(said.name, said.text, clock(said.at)), own);
      }
    }
  }
}

function message(name, text, when) {
  const item = make("li"), content = make("div", "text", text);
  content.dir = "auto";
  // The spaces are for screen readers, and for text that is copied.
  item.append(make("span", "who", name), " ", make("span", "when", when), " ", make("span", "fate"), content);
  return item;
}

function note(text) {
  add(make("li", "note", text));
}

function notePeople(people, what) {
  if (people.length > NAMED) note(`${people.length} people ${what}`);
  else for (const { name } of people) note(`${name} ${what}`);
}

function add(item, own = false) {
  const lines = $("lines"), stay = own || atEnd();
  item.classList.toggle("mine", own);
  lines.append(item);
  while (lines.children.length > SHOWN) {
    mine.delete(Number(lines.firstChild.dataset.ref));
    lines.firstChild.remove();
  }
  if (stay) $("log").scrollTop = $("log").scrollHeight;
  else $("newer").hidden = false;
}

function showFate(ref, fate, reason = "") {
  const own = mine.get(ref);
  if (!own) return;
  own.fate = fate;
  keepEnd(() => showLine(own, fate, reason, ref));
  if (own.received && (fate === "sent" || fate === "missed")) mine.delete(ref);
}

function showLine(own, fate, reason, ref) {
  const line = own.item.querySelector(".fate"), again = !own.received && (fate === "refused" || fate === "unsure");
  line.textContent = FATES[fate];
  line.title = reason;
  line.classList.toggle("bad", fate !== "sent");
  own.item.querySelector("button")?.remove();
  if (again) {
    const button = make("button", "", "Send again");
    button.type = "button";
    button.onclick = () => { own.item.remove(); mine.delete(ref); say(own.text); };
    own.item.append(button);
  }
}

function say(text) {
  const item = message(connection.name, text, ""), ref = connection.say(text);
  item.querySelector(".fate").textContent = "sending";
  item.dataset.ref = ref;
  mine.set(ref, { item, text, received: false });
  add(item, true);
}

function showMembers() {
  const people = [...members.values()].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
  $("members").replaceChildren(...people.map(({ id, name, instance }) => {
    const item = make("li"), badge = make("span", "badge", label(instance));
    badge.title = `instance ${instance}`;
    item.append(make("span", "name", name), id === connection.id ? " (you) " : " ", badge);
    return item;
  }));
  if (count > people.length) $("members").append(make("li", "more", `and ${count - people.length} more`));
  $("count").textContent = `(${count})`;
}

$("enter").onsubmit = (event) => {
  event.preventDefault();
  if ($("name").value.trim() && $("room").value.trim()) enter($("room").value.trim(), $("name").value.trim());
};
$("say").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && connection) say(text);
  $("text").value = "";
  $("text").focus();
};
$("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say").requestSubmit();
  }
};
$("other").onclick = () => leave();
$("cut").onclick = () => { connection?.cut(); $("text").focus(); };
$("newer").onclick = () => { $("log").scrollTop = $("log").scrollHeight; };
$("log").onscroll = () => {
  if (atEnd()) $("newer").hidden = true;
};
const wide = matchMedia("(min-width: 40rem)");
wide.onchange = () => { $("people").open = wide.matches; };
wide.onchange();

// A link such as /?room=tea&name=Ana fills the form in, and joins if both are there. A token stays out of the history.
if (asked.has("token")) history.replaceState(null, "", location.pathname);
$("name").value = asked.get("name") ?? remembered("name", "");
$("room").value = asked.get("room") ?? remembered("rooms", ["tea"])[0];
if (asked.get("name") && asked.get("room")) $("enter").requestSubmit();
else $("name").focus();
