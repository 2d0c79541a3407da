// The browser's side of a connection that stays alive. A page can neither send a ping nor see one, so it listens for the
// server's beat. Two beats missed: the connection is dead, whatever the browser still believes.
"use strict";

const address = location.origin.replace(/^http/, "ws") + "/?beat";
const show = (id, text) => { document.getElementById(id).textContent = text; };

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

  // close() waits for an answer that a dead peer never gives: leave the socket to itself and open another.
  function abandon(why) {
    clearTimeout(watchdog);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    note(`${why}: connecting again`);
    setTimeout(connect, 500 + 500 * Math.random());
  }

  socket.onopen = () => note("open");
  socket.onclose = (event) => abandon(`closed ${event.code}`);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (!message.beat) return;
    every = message.every;
    show("beats", message.beat);
    clearTimeout(watchdog);
    watchdog = setTimeout(() => abandon(`silent for ${2 * every} s`), 2 * every * 1000);
  };
}

connect();
