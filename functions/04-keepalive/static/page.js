// The browser's side of a connection that stays alive. A page can neither send a ping nor see one, so it waits for the
// server's beat. When two beats are missing, the connection is dead, although the browser still reports it as open.
"use strict";

const address = new URL("?beat", location);
address.protocol = address.protocol.replace("http", "ws");
const show = (id, text) => { document.getElementById(id).textContent = text; };

let heard = 0;     // when the last beat arrived
let next = 0;      // when the next attempt begins, 0 while there is a connection

function note(text) {
  const item = document.createElement("li");
  item.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  document.getElementById("log").append(item);
  show("state", text);
}

function connect() {
  const socket = new WebSocket(address);
  let every = 20;
  let watchdog = setTimeout(() => abandon("no answer"), 2 * every * 1000);
  heard = next = 0;

  // close() waits for the answer of a peer that may have disappeared. So abandon this socket and open another one. The
  // delay is random, so that the pages of a stopped instance do not all return in the same moment.
  function abandon(why) {
    clearTimeout(watchdog);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    const delay = 500 + 1500 * Math.random();
    next = Date.now() + delay;
    note(`${why}, reconnecting in ${(delay / 1000).toFixed(1)} s`);
    setTimeout(connect, delay);
  }

  socket.onopen = () => note("open");
  socket.onclose = (event) => abandon(`closed ${event.code}`);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (!message.beat) return;
    every = message.every;
    heard = Date.now();
    show("beats", message.beat);
    show("limit", `${2 * every} s`);
    clearTimeout(watchdog);
    watchdog = setTimeout(() => abandon(`silent for ${2 * every} s`), 2 * every * 1000);
  };
}

setInterval(() => {
  show("age", heard ? `${((Date.now() - heard) / 1000).toFixed(1)} s ago` : "none yet");
  show("delay", next > Date.now() ? `${((next - Date.now()) / 1000).toFixed(1)} s left` : "");
}, 100);
connect();
