// The browser's side of a stream that survives every cut. reconnecting-websocket brings the connection back; the query
// ?after=N brings the stream back to where it stopped. A browser never learns the HTTP status of a refused
// handshake: 403, 404 and 429 all look like 1006 to it. So it tries a limited number of times, then asks.
"use strict";

const NEVER = [1000, 1002, 1003, 1007, 1008, 1009];   // as in retry.py: trying again cannot help
const ATTEMPTS = 10;
const count = { last: 0, connections: 0, repeated: 0, missing: 0 };
const element = (id) => document.getElementById(id);

function state(text) {
  element("state").textContent = text;
  const item = document.createElement("li");
  item.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  element("log").append(item);
}

function show() {
  for (const [name, value] of Object.entries(count)) element(name).textContent = value;
}

// The code that a cut had. When an attempt fails, the library makes up an event of its own that says 1000, "done";
// only the browser's own events tell the truth.
function closeCode(event) {
  return event instanceof CloseEvent ? event.code : 1006;
}

function start() {
  const address = () => {               // asked for at every attempt, after the wait before it
    state("connecting");
    return `${location.origin.replace(/^http/, "ws")}/?after=${count.last}`;
  };
  const socket = new ReconnectingWebSocket(address, [], {
    minReconnectionDelay: 500 + 1000 * Math.random(),    // each page draws its own: no storm after a cut
    reconnectionDelayGrowFactor: 1.5 + Math.random(),
    maxReconnectionDelay: 30000,
    connectionTimeout: 10000,
    maxRetries: ATTEMPTS,
  });
  element("again").hidden = true;

  socket.addEventListener("open", () => {
    count.connections += 1;
    show();
    state("open");
  });
  socket.addEventListener("message", (event) => {
    const { id } = JSON.parse(event.data);
    if (id <= count.last) count.repeated += 1;
    if (id > count.last + 1) count.missing += id - count.last - 1;
    count.last = Math.max(count.last, id);
    show();
  });
  socket.addEventListener("close", (event) => {
    const code = closeCode(event);
    if (NEVER.includes(code) || socket.retryCount >= ATTEMPTS) {
      socket.close();
      state(code === 1000 ? "done" : `gave up (${code})`);
      element("again").hidden = code === 1000;
    } else {
      state(`closed ${code}, waiting before the next attempt`);
    }
  });
}

element("again").addEventListener("click", start);
if (window.ReconnectingWebSocket) start();
else state("reconnecting-websocket is not there: run `npm ci` in the function's folder, then deploy again");
