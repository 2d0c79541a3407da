// The browser's side of a stream that survives every cut. The package reconnecting-websocket opens the next connection;
// the query ?after=N makes the stream continue where it stopped. A browser never learns the HTTP status of a rejected
// handshake: 403, 404 and 429 all look like 1006 to it. So the page tries a limited number of times, then asks.
"use strict";

const NEVER = [1000, 1002, 1003, 1007, 1008, 1009];   // as in retry.py: another attempt cannot help
const ATTEMPTS = 10;
const CELLS = 400;                                    // the strip keeps the newest ones
const count = { last: 0, connections: 0, repeated: 0, missing: 0 };
const element = (id) => document.getElementById(id);

// Each page draws its own delays, so that the pages of a stopped instance do not all return in the same moment.
const SHORTEST = 500 + 1000 * Math.random();
const GROWTH = 1.5 + Math.random();
const LONGEST = 30000;

// The browser's own socket: the library does not give it away, and the button needs it.
class Connection extends WebSocket {
  constructor(...parts) {
    super(...parts);
    Connection.current = this;
  }
}

function state(text) {
  element("state").textContent = text;
  const item = document.createElement("li");
  item.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  element("log").append(item);
}

let attemptAt = 0;                      // when the next attempt begins, 0: none is planned
setInterval(() => {
  const left = Math.ceil((attemptAt - Date.now()) / 1000);
  element("countdown").textContent = left > 0 ? `next attempt in ${left} s` : "";
}, 100);

let coloured = 0;                       // the connection of the newest cell
function cell(kind, title, mark = "") {
  const strip = element("strip");
  const span = document.createElement("span");
  if (coloured !== count.connections) mark ||= count.connections;
  coloured = count.connections;
  span.className = `cell ${kind} c${count.connections % 6}`;
  span.title = title;
  span.textContent = mark;
  strip.append(span);
  if (strip.childElementCount > CELLS) strip.firstElementChild.remove();
}

function show() {
  for (const [name, value] of Object.entries(count)) element(name).textContent = value;
  element("strip").setAttribute("aria-label", `Messages up to number ${count.last} over ${count.connections} connections,` +
    ` ${count.missing} missing, ${count.repeated} repeated`);
}

function received(id) {
  for (let lost = count.last + 1; count.last && lost < id; lost += 1) {
    count.missing += 1;
    cell("gap", `message ${lost} is missing`, "!");
  }
  if (id <= count.last) {
    count.repeated += 1;
    cell("repeat", `message ${id} again`, "=");
  } else {
    cell("", `message ${id}, connection ${count.connections}`);
  }
  count.last = Math.max(count.last, id);
  show();
}

// The code of a cut. When an attempt fails, the library sends an event of its own with code 1000, "done". Only the
// browser's own events have the real code.
function closeCode(event) {
  return event instanceof CloseEvent ? event.code : 1006;
}

function start() {
  const address = () => {               // called for every attempt, after the delay before it
    attemptAt = 0;
    state("connecting");
    const url = new URL(`?after=${count.last}`, location);
    url.protocol = url.protocol.replace("http", "ws");
    return url.href;
  };
  const socket = new ReconnectingWebSocket(address, [], {
    WebSocket: Connection,
    minReconnectionDelay: SHORTEST,
    reconnectionDelayGrowFactor: GROWTH,
    maxReconnectionDelay: LONGEST,
    connectionTimeout: 10000,
    maxRetries: ATTEMPTS,
  });
  element("again").hidden = true;
  element("cut").disabled = false;

  socket.addEventListener("open", () => {
    count.connections += 1;
    show();
    state("open");
  });
  socket.addEventListener("message", (event) => received(JSON.parse(event.data).id));
  socket.addEventListener("close", (event) => {
    const code = closeCode(event);
    if (NEVER.includes(code) || socket.retryCount >= ATTEMPTS) {
      socket.close();
      state(code === 1000 ? "done" : `gave up (${code})`);
      element("again").hidden = code === 1000;
      element("cut").disabled = true;
    } else {
      const delay = Math.min(SHORTEST * GROWTH ** (socket.retryCount - 1), LONGEST);   // as the library computes it
      attemptAt = Date.now() + delay;
      state(`closed ${code}, waiting ${(delay / 1000).toFixed(1)} s`);
    }
  });
}

element("again").addEventListener("click", start);
element("cut").addEventListener("click", () => Connection.current.close(4000, "cut by the page"));
if (window.ReconnectingWebSocket) start();
else {
  element("cut").disabled = true;
  state("reconnecting-websocket is missing: run `npm ci` in the function's folder, then deploy again");
}
