// One person in one room: connect, resume, repeat unanswered messages. This file uses no page; client.py of
// 07-chat-durable is the same in Python. Events: "state" (detail: state, seconds, reason), "said" (detail: a message of
// the chat), "fate" (detail: ref, fate, reason).

const WINDOW = 16; // messages that may wait for an answer
const LONGEST = 10; // seconds between two attempts
const MARGIN = 0.8; // of the announced rate, since the network may deliver messages in bursts
const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009]); // close codes after which another attempt fails again

const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

export class Connection extends EventTarget {
  #socket = null; #retry = 0; #timer = 0; #held = 0; #window = WINDOW; #ended = false;
  #secret = random(); #after = ""; #durable = false; #inside = false;
  #outbox = new Map(); #last = 0; #next = 1; #acked = 0;
  #rate = 0; #burst = 0; #tokens = 0; #filled = 0;

  constructor(url, room, name) {
    super();
    Object.assign(this, { url, room, name, id: "", instance: "" });
    this.wake = () => { if (this.#timer) this.#open(); };
    addEventListener("online", this.wake);
    this.#open();
  }

  /** Send a text, now or when there is a connection again. Returns its ref; "fate" events report what became of it. */
  say(text) {
    this.#outbox.set(++this.#last, text);
    queueMicrotask(() => this.#send());
    return this.#last;
  }

  /** Leave for good. */
  end() {
    this.#ended = true;
    removeEventListener("online", this.wake);
    clearTimeout(this.#timer);
    clearTimeout(this.#held);
    this.#socket.close(1000);
  }

  /** Break the connection, as a network does. It connects again by itself. */
  cut() {
    this.#socket.close(4000, "cut by the user");
    this.#closed({ code: 1006, reason: "" }, this.#socket);
  }

  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #open() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#emit("state", { state: "connecting" });
    const socket = this.#socket = new WebSocket(this.url);
    const current = (handler) => (event) => { if (socket === this.#socket) handler(event); };
    socket.onopen = current(() => socket.send(JSON.stringify({
      type: "join", room: this.room, name: this.name, client: this.#secret, acked: this.#acked, after: this.#after })));
    socket.onmessage = current((event) => this.#receive(JSON.parse(event.data)));
    socket.onclose = (event) => this.#closed(event, socket);
  }

  #closed({ code, reason }, socket) {
    if (this.#ended || socket !== this.#socket || this.#timer) return;
    this.#inside = false;
    if (FINAL.has(code)) {
      this.#ended = true;
      return this.#emit("state", { state: "closed", reason });
    }
    // Full jitter: clients that were cut together do not come back together.
    const seconds = Math.random() * Math.min(LONGEST, 0.2 * 2 ** this.#retry++);
    this.#timer = setTimeout(() => this.#open(), seconds * 1000);
    this.#emit("state", { state: "waiting", seconds });
  }

  #receive(said) {
    switch (said.type) {
      case "welcome":
        Object.assign(this, { id: said.id, name: said.name, instance: said.instance });
        this.#durable = said.durable;
        this.#after = said.after ?? "";
        this.#rate = MARGIN * said.rate;
        this.#burst = this.#tokens = MARGIN * said.burst;
        this.#filled = performance.now();
        if (this.#durable) this.#next = this.#acked + 1; // again from the first without an answer
        else this.#settle(this.#acked + 1, this.#next - 1, "unsure", "the connection broke before the answer came");
        break;
      case "members":
        this.#inside = true;
        this.#retry = 0;
        this.#emit("state", { state: "in" });
        break;
      case "message": this.#after = said.id ?? ""; break;
      case "sent":
        this.#window = WINDOW;
        this.#answered(said.ref, said.missed ? "missed" : "sent");
        break;
      case "status": if (said.live && this.#held && this.#durable) this.#repeat(); break;
      case "failed":
        if (!this.#durable || !said.retry) this.#answered(said.ref, said.sure ? "refused" : "unsure", said.reason);
        else {
          this.#window = 1;
          this.#next = this.#acked + 1;
          clearTimeout(this.#held);
          this.#held = setTimeout(() => this.#repeat(), 500);
        }
    }
    this.#emit("said", said);
    this.#send();
  }

  #repeat() {
    this.#next = this.#acked + 1;
    this.#release();
  }

  #release() {
    clearTimeout(this.#held);
    this.#held = 0;
    this.#send();
  }

  #send() {
    while (this.#inside && !this.#held && this.#outbox.has(this.#next) && this.#next <= this.#acked + this.#window
           && this.#socket.readyState === WebSocket.OPEN) {
      const now = performance.now();
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filled) / 1000 * this.#rate);
      this.#filled = now;
      if (this.#tokens < 1) { // the chat announced how much it accepts
        this.#held = setTimeout(() => this.#release(), (1 - this.#tokens) / this.#rate * 1000);
        return;
      }
      this.#tokens--;
      this.#socket.send(JSON.stringify({ type: "say", ref: this.#next, text: this.#outbox.get(this.#next) }));
      this.#next++;
    }
  }

  /** The durable chat accepts messages in order, so an answer settles all before it as well. */
  #answered(ref, fate, reason) {
    this.#settle(this.#durable ? this.#acked + 1 : ref, ref, fate, reason);
  }

  #settle(from, to, fate, reason = "") {
    for (let ref = from; ref <= to; ref++) {
      if (this.#outbox.delete(ref)) this.#emit("fate", { ref, fate, reason });
    }
    while (this.#acked < this.#last && !this.#outbox.has(this.#acked + 1)) this.#acked++;
    this.#next = Math.max(this.#next, this.#acked + 1); // an answer can overtake the repetition of its message
  }
}
