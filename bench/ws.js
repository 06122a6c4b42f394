// SPDX-License-Identifier: MIT
//
// A WebSocket echo by ws, the usual library for Node: no compression, no UTF-8 check, no tracking of clients.
// It is a peer to compare with, not an example.
"use strict";
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
	host: "127.0.0.1",
	port: Number(process.argv[2]),
	backlog: 4096,
	perMessageDeflate: false,
	skipUTF8Validation: true,
	clientTracking: false,
});
server.on("connection", (socket) => {
	socket.on("error", () => {});
	socket.on("message", (data, binary) => socket.send(data, { binary }));
});
