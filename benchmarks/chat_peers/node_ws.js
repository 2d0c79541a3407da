// The obvious chat with ws and ioredis: the path is the room; one subscription per room and process, a loop over members.
const { WebSocketServer, WebSocket } = require("ws");
const Redis = require("ioredis");

const publisher = new Redis(process.env.REDIS_URL), subscriber = new Redis(process.env.REDIS_URL);
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.FC_SERVER_PORT) });
const rooms = new Map();

server.on("connection", (socket, request) => {
  const room = `bench:${request.url}`;
  if (!rooms.has(room)) {
    rooms.set(room, new Set());
    subscriber.subscribe(room);
  }
  rooms.get(room).add(socket);
  socket.on("message", (data) => publisher.publish(room, data.toString()));
  socket.on("close", () => {
    rooms.get(room)?.delete(socket);
    if (rooms.get(room)?.size === 0) {
      rooms.delete(room);
      subscriber.unsubscribe(room);
    }
  });
});
subscriber.on("message", (room, text) => {
  for (const socket of rooms.get(room) ?? []) if (socket.readyState === WebSocket.OPEN) socket.send(text);
});
