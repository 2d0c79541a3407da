// The page: what Connection tells becomes text on the screen. Whatever people typed goes in as textContent, nothing else.

import { Connection } from "./connection.js";

const SHOWN = 500; // messages kept on the page
const FATES = {
  sent: "", missed: "perhaps not heard by all", refused: "not sent", unsure: "perhaps not sent",
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

let connection = null;
let members = new Map(); // id -> name
let mine = new Map(); // ref -> { item, text, heard, fate }; fate: see FATES
let troubled = false, welcomed = false;

function enter(room, name) {
  connection?.end();
  members = new Map();
  mine = new Map();
  troubled = welcomed = false;
  $("log").replaceChildren();
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
  showMembers();
  const url = new URL(".", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const opened = connection = new Connection(url.href, room, name);
  const on = (type, handler) => opened.addEventListener(type, (event) => opened === connection && handler(event.detail));
  on("state", showState);
  on("said", hear);
  on("fate", ({ ref, fate, reason }) => showFate(ref, fate, reason));
}

function leave(why = "") {
  connection?.end();
  connection = null;
  $("chat").hidden = true;
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

/** Make a change; whoever looks at the newest messages still does afterwards. */
function keepEnd(change) {
  const stay = atEnd();
  change();
  if (stay) $("log").scrollTop = $("log").scrollHeight;
}

function showState({ state, seconds, reason }) {
  if (state === "closed") return leave(`The chat closed the connection: ${reason}`);
  if (state === "in") return showLive();
  if (state === "waiting") return setState(`Connection lost, next attempt in ${seconds.toFixed(1)} s`, true);
  setState("Connecting", false);
}

function showLive() {
  setState(troubled ? "Connected, but Redis does not answer" : "Connected", troubled);
}

function hear(said) {
  switch (said.type) {
    case "welcome":
      troubled = false;
      if (welcomed && !said.durable) note("You were away; what was said meanwhile is lost.");
      welcomed = true;
      if (said.gone) note("Older messages are gone; there may be a gap here.");
      break;
    case "members":
      members = new Map(said.members.map(({ id, name }) => [id, name]));
      showMembers();
      break;
    case "presence": {
      const before = new Set(members.values());
      for (const { id, name } of said.joined) members.set(id, name);
      for (const id of said.left) members.delete(id);
      const after = new Set(members.values()); // someone who reconnects is there twice for a moment: same name
      for (const name of after) if (!before.has(name)) note(`${name} joined`);
      for (const name of before) if (!after.has(name)) note(`${name} left`);
      showMembers();
      break;
    }
    case "status":
      troubled = !said.live;
      note(said.text);
      showLive();
      break;
    case "epoch": note("The history of this room is gone."); break;
    case "message":
      if (said.name === connection.name && mine.get(said.ref)?.text === said.text && !mine.get(said.ref).heard) {
        const own = mine.get(said.ref);
        own.heard = true;
        own.item.querySelector(".when").textContent = clock(said.at);
        add(own.item, true); // its place is where the room heard it
        showFate(said.ref, own.fate ?? "sent");
      } else {
        add(message(said.name, said.text, clock(said.at)), said.name === connection.name);
      }
  }
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function message(name, text, when) {
  const item = make("li");
  // The spaces are for those who hear the line, or copy it.
  item.append(make("span", "who", name), " ", make("span", "when", when), " ", make("span", "fate"),
    make("div", "text", text));
  return item;
}

function note(text) {
  add(make("li", "note", text));
}

function add(item, own = false) {
  const log = $("log"), stay = own || atEnd();
  item.classList.toggle("mine", own);
  log.append(item);
  while (log.children.length > SHOWN) log.firstChild.remove();
  if (stay) log.scrollTop = log.scrollHeight;
  else $("newer").hidden = false;
}

function showFate(ref, fate, reason = "") {
  const own = mine.get(ref);
  if (!own) return;
  own.fate = fate;
  keepEnd(() => showLine(own, fate, reason, ref));
}

function showLine(own, fate, reason, ref) {
  const line = own.item.querySelector(".fate"), again = !own.heard && (fate === "refused" || fate === "unsure");
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
  const item = message(connection.name, text, "");
  item.querySelector(".fate").textContent = "sending";
  mine.set(connection.say(text), { item, text, heard: false });
  add(item, true);
}

function showMembers() {
  const names = [...new Set(members.values())].sort((a, b) => a.localeCompare(b));
  $("members").replaceChildren(...names.map((name) => make("li", "", name)));
  $("count").textContent = names.length ? `(${names.length})` : "";
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
$("newer").onclick = () => { $("log").scrollTop = $("log").scrollHeight; };
$("log").onscroll = () => {
  if (atEnd()) $("newer").hidden = true;
};

// A link such as /?room=tea&name=Ana fills the form in, and joins if both are there.
const asked = new URLSearchParams(location.search);
$("name").value = asked.get("name") ?? remembered("name", "");
$("room").value = asked.get("room") ?? remembered("rooms", ["tea"])[0];
if (asked.get("name") && asked.get("room")) $("enter").requestSubmit();
else $("name").focus();
