"use strict";
/* The cards in which something moves. */

/* ---- Streaming ------------------------------------------------------------------- */

let leave = null;
$("#stream .stop").onclick = () => leave?.abort();

function arrivals(total) {
  const dots = Array.from({ length: total }, () => el("i"));
  const line = el("p", { class: "soft" }, "waiting for the head");
  return { dots, line, nodes: [el("div", { class: "pieces", "aria-hidden": "true" }, ...dots), line] };
}

/* The browser may hand over two pieces at once; lines tell where one ends. */
async function read_pieces(res, on_piece) {
  const reader = res.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    for (const byte of value) if (byte === 10) on_piece();
  }
}

card("stream", {
  curl: (f) => `curl -N ${url(`/stream?chunks=${f.chunks.value}&bytes=64&delay_ms=${f.delay.value}`)}`,
  async run(f, show, article) {
    const total = Number(f.chunks.value);
    const { dots, line, nodes } = arrivals(total);
    const stop = $(".stop", article);
    const start = performance.now();
    let got = 0;
    show(...nodes);
    leave = new AbortController();
    stop.disabled = false;
    try {
      const res = await fetch(`/stream?chunks=${total}&bytes=64&delay_ms=${f.delay.value}`,
        { cache: "no-store", signal: leave.signal });
      const head = performance.now() - start;
      await read_pieces(res, () => {
        dots[got++]?.classList.add("on");
        line.textContent = `piece ${got} of ${total} after ${ms(performance.now() - start)}`;
      });
      line.textContent = `head after ${ms(head)}, ${got} pieces in ${ms(performance.now() - start)}`;
    } catch (e) {
      if (e.name !== "AbortError") throw e;
      line.textContent = `left after ${got} pieces: the server's handler was told`;
    } finally {
      stop.disabled = true;
    }
  },
});

/* ---- Upload ------------------------------------------------------------------------ */

function noise(size) {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
  return new Blob([data]);
}

/* fetch() does not tell how far an upload is. */
const post = (body, on_progress) => new Promise((resolve, reject) => {
  const xhr = new XMLHttpRequest();
  xhr.open("POST", "/upload");
  xhr.upload.onprogress = (e) => on_progress(e.loaded / e.total);
  xhr.onload = () => resolve({ status: xhr.status, body: xhr.responseText });
  xhr.onerror = () => reject(new TypeError("network"));
  xhr.send(body);
});

async function own_sha256(blob) {
  if (!crypto.subtle || blob.size > 512 << 20) return null; /* only on secure origins; it has no streaming */
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

card("upload", {
  curl: (f) => `curl -T ${quote(f.file.files[0]?.name || "FILE")} -X POST ${url("/upload")}`,
  async run(f, show) {
    const blob = f.file.files[0] || noise(8 << 20);
    const fill = el("i");
    const line = el("p", { class: "soft" }, "sending");
    show(el("div", { class: "bar" }, fill), line);
    const start = performance.now();
    const answer = await post(blob, (part) => { fill.style.width = part * 100 + "%"; });
    const took = performance.now() - start;
    fill.style.width = "100%";
    if (answer.status !== 200) return show(badge(answer.status), el("p", {}, answer.body));
    const said = JSON.parse(answer.body);
    const own = await own_sha256(blob);
    line.replaceWith(
      el("p", {}, badge(200), ` ${bytes(said.bytes)} in ${ms(took)}, ${bytes(said.bytes / took * 1000)} a second`),
      el("p", { class: "hash" }, said.sha256),
      own ? el("p", { class: own === said.sha256 ? "good" : "bad" },
        own === said.sha256 ? "The same SHA-256 as the browser's own" : "Not the browser's own SHA-256")
        : el("p", { class: "soft" }, "This browser cannot hash it here, to compare"));
  },
});

/* ---- Deferred answers ----------------------------------------------------------------- */

card("slow", {
  curl: (f) => `for i in 1 2 3 4 5; do curl -s ${url("/slow?ms=" + f.ms.value)} & done; wait`,
  async run(f, show) {
    const n = Number(f.n.value), longest = Number(f.ms.value);
    const waits = Array.from({ length: n }, (_, i) => Math.round(longest * (n - i) / n));
    const lanes = el("div", { class: "lanes" });
    const start = performance.now();
    const lane = async (wait) => {
      const fill = el("i"), end = el("span", { class: "soft" }, "waiting");
      lanes.append(el("code", {}, "/slow?ms=" + wait), el("div", { class: "bar" }, fill), end);
      const timer = setInterval(() => {
        fill.style.width = Math.min(100, (performance.now() - start) / longest * 100) + "%";
      }, 40);
      try {
        const answer = await ask("/slow?ms=" + wait);
        end.replaceChildren(badge(answer.status), " after " + ms(answer.ms));
      } finally {
        clearInterval(timer);
        fill.style.width = wait / longest * 100 + "%";
      }
    };
    show(lanes);
    await Promise.all(waits.map(lane));
    const sum = waits.reduce((a, b) => a + b, 0);
    show(lanes, el("p", {}, `${ms(sum)} of waiting done in `, el("b", {}, ms(performance.now() - start)), "."));
  },
});

/* ---- Talk ------------------------------------------------------------------------------- */

const said = { socket: null, lines: [] };

/* The server tells in bytes how it was reached and how many are here; what people say is text. */
function join(show) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/chat");
    socket.binaryType = "arraybuffer";
    const line = (...nodes) => {
      said.lines = [...said.lines.slice(-7), el("p", {}, ...nodes)];
      show(...said.lines);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") return line(data);
      const [over, here] = new TextDecoder().decode(data).split(" ");
      line(el("span", { class: "soft" }, `connected by ${over}, ${here} here`));
      resolve(socket);
    };
    socket.onclose = ({ code, reason }) => {
      said.socket = null;
      line(el("span", { class: "soft" }, `closed: ${code} ${reason}`));
      reject(new TypeError("closed"));
    };
  });
}

card("chat", {
  curl: () => `python3 -m websockets ${location.origin.replace(/^http/, "ws")}/chat`,
  async run(f, show) {
    said.socket ??= await join(show);
    said.socket.send(f.said.value);
  },
});

let source = null;

card("ticks", {
  curl: () => `curl -N ${url("/ticks")}`,
  run(f, show) {
    source?.close();
    source = new EventSource("/ticks");
    source.onmessage = ({ data }) => {
      const { tick, requests, chatting } = JSON.parse(data);
      show(el("div", { class: "big" }, figure(count(tick), "seconds up"),
        figure(count(requests), "requests"), figure(count(chatting), "in the chat")));
    };
    source.onerror = () => show(el("p", { class: "soft" }, "Gone; the browser tries again."));
  },
});

/* ---- Figures ------------------------------------------------------------------------------ */

/* Lines of Prometheus' text format: name{label="value",...} number. */
function parse_metrics(body) {
  const found = [];
  for (const [, name, labels, value] of body.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const of = Object.fromEntries([...(labels || "").matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map((m) => [m[1], m[2]]));
    found.push({ name, of, value: Number(value) });
  }
  return found;
}

function by_route(metrics) {
  const routes = new Map();
  for (const { name, of, value } of metrics) {
    if (!of.route) continue;
    const key = of.method + " " + of.route;
    const row = routes.get(key) || { classes: {}, count: 0, sum: 0, buckets: [] };
    if (name.endsWith("_requests_total")) row.classes[of.class] = value;
    else if (name.endsWith("_count")) row.count = value;
    else if (name.endsWith("_sum")) row.sum = value;
    else if (name.endsWith("_bucket")) row.buckets.push([Number(of.le.replace("+Inf", "Infinity")), value]);
    routes.set(key, row);
  }
  return [...routes].filter(([, row]) => row.count).sort((a, b) => b[1].count - a[1].count);
}

const seconds = (s) => s === Infinity ? "over 8 s" : s < 0.001 ? (s * 1e6).toFixed(1) + " µs" : ms(s * 1000);
const within = (row, part) => (row.buckets.find(([, n]) => n >= row.count * part) || [NaN])[0];

function show_routes(out, metrics) {
  out.replaceChildren(table(
    ["Route", ...["2xx", "3xx", "4xx", "5xx", "Mean", "99 of 100 within"].map(number)],
    by_route(metrics).map(([route, row]) => [el("code", {}, route),
      ...["2xx", "3xx", "4xx", "5xx"].map((c) => number(count(row.classes[c] || 0))),
      number(seconds(row.sum / row.count)), number(seconds(within(row, 0.99)))])));
}

{
  const period_ms = 2500;
  const out = $("#metrics .out");
  const rate = (n) => n < 10 ? n.toFixed(1) : count(n);
  let before = null;
  ask("/inspect").then(({ body }) => {
    const { transport, tls, cipher } = JSON.parse(body);
    $("#t-protocol").textContent = tls ? `${transport}, ${tls}` : transport;
    $("#t-protocol").title = cipher ?? "without TLS";
  }).catch(() => {});
  command($("#metrics"), () => `curl ${url("/metrics")}`);
  const tick = async () => {
    if (document.hidden) return;
    try {
      const metrics = parse_metrics((await ask("/metrics")).body);
      const total = (name) => metrics.find((m) => m.name === name)?.value ?? 0;
      const now = { at: performance.now(), requests: total("tako_requests_total") };
      const info = metrics.find((m) => m.name === "tako_info")?.of ?? {};
      $("#t-requests").textContent = count(now.requests);
      $("#t-open").textContent = count(total("tako_connections_open"));
      $("#t-runtime").textContent = info.runtime ?? "";
      $("#t-version").textContent = info.version ?? "";
      if (before) $("#t-rate").textContent = rate((now.requests - before.requests) * 1000 / (now.at - before.at));
      before = now;
      show_routes(out, metrics);
    } catch {
      $("#t-rate").textContent = "gone";
    }
  };
  tick();
  setInterval(tick, period_ms);
}

/* ---- WebTransport ------------------------------------------------------------------------ */

const read_all = async (readable) => new Uint8Array(await new Response(readable).arrayBuffer());

async function write_all(writable, data) {
  const writer = writable.getWriter();
  writer.write(data);
  await writer.close();
}

/* Out on one, and back: true if every byte is the same. */
async function echo_stream(session, size) {
  const data = crypto.getRandomValues(new Uint8Array(Math.min(size, 65536)));
  const { writable, readable } = await session.createBidirectionalStream();
  const [, back] = await Promise.all([write_all(writable, data), read_all(readable)]);
  return back.length === data.length && back.every((byte, i) => byte === data[i]);
}

/* A datagram's way there and back; null: it, or its echo, was lost. */
async function echo_datagram(session) {
  const reader = session.datagrams.readable.getReader();
  const start = performance.now();
  session.datagrams.writable.getWriter().write(new Uint8Array([1, 2, 3]));
  const back = reader.read().then(() => performance.now() - start);
  return Promise.race([back, new Promise((resolve) => setTimeout(() => resolve(null), 1000))]);
}

card("session", {
  curl: () => `chromium --origin-to-force-quic-on=${location.host} ${location.origin}/`,
  async run(f, show) {
    if (!window.WebTransport || location.protocol !== "https:")
      return show(el("p", { class: "soft" }, "WebTransport needs HTTP/3: start the showcase with --h3, open it by https"));
    const n = Number(f.n.value);
    const session = new WebTransport(location.origin + "/session");
    try {
      await session.ready;
    } catch {
      return show(el("p", { class: "soft" }, "No WebTransport here: the browser has not come by HTTP/3 that it trusts"));
    }
    const start = performance.now();
    const same = await Promise.all(Array.from({ length: n }, () => echo_stream(session, Number(f.size.value))));
    const took = performance.now() - start;
    const datagram = await echo_datagram(session);
    session.close({ closeCode: 0, reason: "done" });
    show(
      el("p", { class: same.every((ok) => ok) ? "good" : "bad" },
        `${same.filter((ok) => ok).length} of ${n} streams came back, in ${ms(took)}`),
      el("p", {}, datagram === null ? "The datagram got lost" : `A datagram was there and back in ${ms(datagram)}`));
  },
});
