// The obvious chat with ws and ioredis: one subscription per process, a loop over the members.
const { WebSocketServer, WebSocket } = require("ws");
const Redis = require("ioredis");

const publisher = new Redis(process.env.REDIS_URL), subscriber = new Redis(process.env.REDIS_URL);
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.FC_SERVER_PORT) });

server.on("connection", (socket) => socket.on("message", (data) => publisher.publish("bench:node", data.toString())));
subscriber.on("message", (_channel, text) => {
  for (const socket of server.clients) if (socket.readyState === WebSocket.OPEN) socket.send(text);
});
subscriber.subscribe("bench:node");
