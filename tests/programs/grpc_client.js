// SPDX-License-Identifier: MIT
//
// The cases of the gRPC project's interoperability list with @grpc/grpc-js, against tests/programs/grpc.c:
//   NODE_PATH=… node grpc_client.js ADDRESS [CERTIFICATE]
// Messages are bytes, which need no protobuf. Ends with 1 and a word at the first case that was not good.
"use strict";
const assert = require("assert");
const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const SERVICE = "/tako.test.Interop/";
const INITIAL = "x-grpc-test-echo-initial";
const TRAILING = "x-grpc-test-echo-trailing-bin";
const [address, certificate] = process.argv.slice(2);
const same = (bytes) => bytes;

function connect(options = {}) {
  const credentials = certificate ? grpc.credentials.createSsl(fs.readFileSync(certificate))
    : grpc.credentials.createInsecure();
  return new grpc.Client(address, credentials, {"grpc.enable_http_proxy": 0, ...options});
}

const plain = connect();

function metadata(pairs = {}) {
  const m = new grpc.Metadata();
  for (const [name, value] of Object.entries(pairs)) m.set(name, value);
  return m;
}

/// What a call came to: {code, details, messages, initial, trailing}, once it is over.
/// `drive` gets the call and is told of each message; without it all requests are said at once.
function run(method, requests, {client = plain, sent = {}, timeout = 20000, streams = "both", drive} = {}) {
  return new Promise((resolve) => {
    const path = method.startsWith("/") ? method : SERVICE + method;
    const got = {messages: [], initial: metadata()};
    const options = {deadline: Date.now() + timeout};
    const common = [path, same, same];
    const one = (error, message) => message && got.messages.push(message);
    const make = {
      none: () => client.makeUnaryRequest(...common, requests[0], metadata(sent), options, one),
      in: () => client.makeClientStreamRequest(...common, metadata(sent), options, one),
      out: () => client.makeServerStreamRequest(...common, requests[0], metadata(sent), options),
      both: () => client.makeBidiStreamRequest(...common, metadata(sent), options),
    };
    const call = make[streams]();
    const writes = streams === "in" || streams === "both";
    call.on("metadata", (m) => { got.initial = m; });
    call.on("status", (s) => setImmediate(() => resolve({...got, code: s.code, details: s.details, trailing: s.metadata})));
    if (streams === "out" || streams === "both") {
      call.on("data", (message) => {
        got.messages.push(message);
        if (drive) drive(call, got.messages.length);
      });
      call.on("error", () => {});
    } else if (writes) {
      call.on("error", () => {});
    }
    if (drive) drive(call, 0);
    else if (writes) {
      for (const request of requests) call.write(request);
      call.end();
    }
  });
}

const words = (text, payload = 0) => Buffer.concat([Buffer.from(text), Buffer.alloc(1 + payload)]);
const unary = (request, options) => run("Unary", [request], {streams: "none", ...options});

function is(got, code, sizes) {
  assert.deepStrictEqual({code: got.code, sizes: got.messages.map((m) => m.length)}, {code, sizes}, got.details);
}

const S = grpc.status;
const SIZES = [31415, 9, 2653, 58979];
const PAYLOADS = [27182, 8, 1828, 45904];

const cases = {
  async empty_unary() {
    is(await run("Empty", [Buffer.alloc(0)], {streams: "none"}), S.OK, [0]);
  },
  async large_unary() {
    const got = await unary(words("n=314159;squeeze=0", 271828));
    is(got, S.OK, [314159]);
    assert(got.messages[0].equals(Buffer.alloc(314159)));
  },
  async client_compressed_unary() {
    for (const algorithm of [grpc.compressionAlgorithms.gzip, grpc.compressionAlgorithms.deflate]) {
      const client = connect({"grpc.default_compression_algorithm": algorithm});
      is(await unary(words("n=314159;compressed=1", 271828), {client}), S.OK, [314159]);
      // Again: by now it knows what the server takes.
      is(await unary(words("n=9;compressed=1", 271828), {client}), S.OK, [9]);
      client.close();
    }
    is(await unary(words("n=1;compressed=1", 271828)), S.INVALID_ARGUMENT, []);
    is(await unary(words("n=314159;compressed=0", 271828)), S.OK, [314159]);
  },
  async server_compressed_unary() {
    for (const squeeze of [1, 0]) is(await unary(words(`n=314159;squeeze=${squeeze}`)), S.OK, [314159]);
  },
  async client_streaming() {
    const got = await run("Input", PAYLOADS.map((n) => words("", n)), {streams: "in"});
    is(got, S.OK, [5]);
    assert.strictEqual(got.messages[0].toString(), "74922");
  },
  async server_streaming() {
    is(await run("Output", [words(`n=${SIZES}`)], {streams: "out"}), S.OK, SIZES);
  },
  async ping_pong() {
    const drive = (call, n) => (n < SIZES.length ? call.write(words(`n=${SIZES[n]}`, PAYLOADS[n])) : call.end());
    is(await run("Duplex", [], {drive}), S.OK, SIZES);
  },
  async empty_stream() {
    is(await run("Duplex", []), S.OK, []);
  },
  async custom_metadata() {
    const sent = {[INITIAL]: "test_initial_metadata_value", [TRAILING]: Buffer.from([0xab, 0xab, 0xab])};
    for (const got of [await unary(words("n=314159"), {sent}), await run("Duplex", [words("n=314159")], {sent})]) {
      is(got, S.OK, [314159]);
      assert.deepStrictEqual(got.initial.get(INITIAL), [sent[INITIAL]]);
      assert.deepStrictEqual(got.trailing.get(TRAILING), [sent[TRAILING]]);
    }
  },
  async status_code_and_message() {
    const request = Buffer.from("code=2;message=test status message");
    for (const got of [await unary(request), await run("Duplex", [request])]) {
      is(got, S.UNKNOWN, []);
      assert.strictEqual(got.details, "test status message");
    }
  },
  async special_status_message() {
    const text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n";
    const got = await unary(Buffer.from(`code=2;message=${text}`));
    is(got, S.UNKNOWN, []);
    assert.strictEqual(got.details, text);
  },
  async unimplemented_method() {
    is(await run("Other", [words("")], {streams: "none"}), S.UNIMPLEMENTED, []);
  },
  async unimplemented_service() {
    is(await run("/tako.test.Other/Unary", [words("")], {streams: "none"}), S.UNIMPLEMENTED, []);
  },
  async cancel_after_begin() {
    is(await run("Input", [], {streams: "in", drive: (call) => call.cancel()}), S.CANCELLED, []);
  },
  async cancel_after_first_response() {
    const drive = (call, n) => (n ? call.cancel() : call.write(words("n=31415", 27182)));
    is(await run("Duplex", [], {drive}), S.CANCELLED, [31415]);
  },
  async timeout_on_sleeping_server() {
    const drive = (call, n) => n || call.write(words("", 27182));
    is(await run("Hang", [], {timeout: 100, drive}), S.DEADLINE_EXCEEDED, []);
  },
};

(async () => {
  for (const [name, run_case] of Object.entries(cases)) {
    try {
      await run_case();
    } catch (e) {
      console.log(`${name}: ${e.stack}`);
      process.exit(1);
    }
  }
  plain.close();
  // Timers of deadlines that were never reached would keep it alive.
  process.stdout.write(`${Object.keys(cases).length} good\n`, () => process.exit(0));
})();
