// Subscribe to a topic, and stay subscribed: after a cut the page reconnects and continues after its last event.
"use strict";

const show = (id, text) => { document.getElementById(id).textContent = text; };
const topic = document.getElementById("topic");
let current = null;

function subscribe(name) {
  current?.stop();
  let last = null;
  let failures = 0;
  let stopped = false;
  let socket = null;

  function connect() {
    const url = new URL(`subscribe/${name}`, location);
    url.protocol = url.protocol.replace("http", "ws");
    if (last) url.searchParams.set("after", last);
    show("state", "connecting");
    socket = new WebSocket(url);
    socket.onopen = () => show("state", `subscribed to ${name}`);
    socket.onmessage = (message) => {
      const { id, instance, event } = JSON.parse(message.data);
      [last, failures] = [id, 0];
      show("instance", instance);
      if (event === null) return;                 // the position of a new subscriber, not an event
      const item = document.createElement("li");
      item.textContent = `${new Date().toLocaleTimeString()}  ${JSON.stringify(event)}`;
      document.getElementById("log").prepend(item);
    };
    socket.onclose = ({ code }) => {
      if (stopped) return;
      // A random part of a span that doubles: the pages of a stopped instance do not all return in the same moment.
      const delay = Math.random() * Math.min(1000 * 2 ** failures, 30000);
      failures += 1;
      show("state", code === 1008 ? "refused (1008)" : `closed ${code}, reconnecting in ${(delay / 1000).toFixed(1)} s`);
      if (code !== 1008) setTimeout(() => stopped || connect(), delay);
    };
  }

  document.getElementById("log").replaceChildren();
  show("command", `curl -H "Authorization: Bearer $PUBLISH_TOKEN" -d '{"order": 17, "state": "shipped"}' ${new URL(`publish/${name}`, location)}`);
  connect();
  current = { stop() { stopped = true; socket.close(); } };
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  subscribe(topic.value);
});
subscribe(topic.value);
