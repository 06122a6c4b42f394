"use strict";
/* The cards whose answers come at once. */

function histogram(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const low = sorted[0], high = sorted[Math.floor(sorted.length * 0.98)] || low + 1;
  const bins = new Array(40).fill(0);
  for (const t of times) bins[Math.min(bins.length - 1, Math.floor((t - low) / (high - low || 1) * bins.length))]++;
  const top = Math.max(...bins);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 400 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "chart");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "How many requests took how long");
  svg.innerHTML = bins.map((n, i) =>
    `<rect x="${i * 10 + 1}" y="${100 - n / top * 100}" width="8" height="${n / top * 100}"/>`).join("");
  return [svg, el("div", { class: "axis" }, el("span", {}, ms(low)), el("span", {}, "and more than " + ms(high)))];
}

card("roundtrip", {
  curl: (f) => `curl -i ${url(f.path.value)}`,
  async run(f, show) {
    const times = [];
    const start = performance.now();
    let last;
    for (let i = 0; i < f.n.value; i++) {
      last = await ask(f.path.value);
      times.push(last.ms);
    }
    const sorted = [...times].sort((a, b) => a - b);
    show(
      el("p", {}, badge(last.status), " ", el("code", {}, last.body), " ",
        el("span", { class: "soft" }, last.res.headers.get("content-type"))),
      el("div", { class: "big" },
        figure(ms(sorted[Math.floor(sorted.length / 2)]), "median"),
        figure(ms(sorted[Math.floor(sorted.length * 0.99)]), "99 of 100"),
        figure(count(times.length * 1000 / (performance.now() - start)), "a second, one after the other")),
      ...histogram(times));
  },
});

card("inspect", {
  curl: (f) => `curl -X ${f.method.value} --path-as-is ${url("/inspect" + f.path.value)}`,
  async run(f, show) {
    const answer = await ask("/inspect" + f.path.value,
      { method: f.method.value, headers: { "X-Sent-By": "this page" } });
    if (answer.status !== 200) return show(badge(answer.status), el("pre", {}, answer.body));
    const saw = JSON.parse(answer.body);
    const row = (name, value) => [name, el("span", { class: "mono" }, value ?? "none")];
    show(table(null, [
      row("Request line", `${saw.method} … HTTP/${saw.http_version}`),
      row("Path, as sent", saw.raw_path), row("Path, decoded", saw.path), row("Query", saw.query),
      row("Route", saw.pattern), row("{*rest}", saw.params.rest), row("From", saw.peer),
      row("Request id", saw.id),
    ]), el("details", {}, el("summary", {}, `${saw.headers.length} header fields, in order`),
      table(null, saw.headers.map(([name, value]) => row(name, value)))));
  },
});

card("users", {
  curl: (f) => `curl -i ${url("/users/" + encodeURIComponent(f.id.value))}`,
  async run(f, show) {
    const ids = [f.id.value, "18446744073709551615", "18446744073709551616", "-1", "alice"];
    const rows = [];
    for (const id of ids) {
      const answer = await ask("/users/" + encodeURIComponent(id));
      const said = answer.status === 200 ? answer.body.trim() : "no route";
      rows.push([el("code", {}, "/users/" + id), badge(answer.status), el("span", { class: "soft" }, said)]);
    }
    show(table(null, rows));
  },
});

card("echo", {
  curl: (f) => `curl -d ${quote(f.body.value)} ${url("/echo")}`,
  async run(f, show) {
    const small = await ask("/echo", { method: "POST", body: f.body.value });
    const noise = new Uint8Array(4 << 20).map((_, i) => i * 31 >> 3);
    const start = performance.now();
    const res = await fetch("/echo", { method: "POST", body: noise });
    const back = new Uint8Array(await res.arrayBuffer());
    const took = performance.now() - start;
    const same = back.length === noise.length && back.every((byte, i) => byte === noise[i]);
    show(
      el("p", {}, badge(small.status), " ", el("q", {}, small.body), " ",
        el("span", { class: small.body === f.body.value ? "good" : "bad" },
          small.body === f.body.value ? "the same" : "not the same")),
      el("p", {}, badge(res.status), ` ${bytes(noise.length)} there and back in ${ms(took)}, `,
        el("span", { class: same ? "good" : "bad" }, same ? "every byte the same" : "not the same")));
  },
});

/* ---- Files ------------------------------------------------------------------------ */

card("static", {
  curl: (f) => `curl -i -r 0-99 ${url("/files" + f.path.value)}`,
  async run(f, show) {
    const path = "/files" + f.path.value;
    const first = await ask(path);
    if (first.status !== 200)
      return show(el("p", {}, badge(first.status), " ", first.body.trim()));
    const etag = first.res.headers.get("etag");
    const date = first.res.headers.get("last-modified");
    const ways = [
      ["HEAD", "no body", path, { method: "HEAD" }],
      ["If-None-Match", etag, path, { headers: { "If-None-Match": etag } }],
      ["If-Modified-Since", date, path, { headers: { "If-Modified-Since": date } }],
      ["Range", "bytes=0-99", path, { headers: { Range: "bytes=0-99" } }],
      ["Range", "bytes=999999999-", path, { headers: { Range: "bytes=999999999-" } }],
      ["Out of the directory", "/%2e%2e%2fMakefile", "/files/%2e%2e%2fMakefile", {}],
    ];
    const rows = [["GET", "the whole file", badge(first.status), kind(first)]];
    for (const [name, value, where, options] of ways) {
      const answer = await ask(where, options);
      rows.push([name, el("code", {}, value), badge(answer.status), kind(answer)]);
    }
    show(table(["Request", "", "Status", "Answer"], rows));
  },
});

function kind(answer) {
  const get = (name) => answer.res.headers.get(name);
  const parts = [get("content-range"), `${count(new Blob([answer.body]).size)} bytes of body`,
    answer.status < 300 ? get("content-type") : null];
  return el("span", { class: "soft" }, parts.filter(Boolean).join(", "));
}

/* ---- Errors ------------------------------------------------------------------------ */

card("wrong", {
  curl: () => `curl -i -X DELETE ${url("/healthz")}`,
  async run(f, show) {
    const wrongs = [
      ["No such path", "GET /nowhere", "/nowhere", {}],
      ["Wrong method", "DELETE /healthz", "/healthz", { method: "DELETE" }],
      ["A number that is none", "GET /slow?ms=soon", "/slow?ms=soon", {}],
      ["A broken escape", "GET /inspect/%zz", "/inspect/%zz", {}],
      ["An encoded NUL", "GET /inspect/%00", "/inspect/%00", {}],
      ["A long target", "GET /inspect?x=… (9,000 bytes)", "/inspect?x=" + "x".repeat(9000), {}],
      ["Too many fields", "GET /inspect with 120 fields", "/inspect",
        { headers: Object.fromEntries([...Array(120).keys()].map((i) => ["X-Field-" + i, "x"])) }],
    ];
    const rows = [];
    for (const [what, shown, path, options] of wrongs) {
      const answer = await ask(path, options).catch(() => ({ status: 0, body: "", res: new Response() }));
      const allow = answer.res.headers.get("allow");
      rows.push([what, el("code", {}, shown), badge(answer.status),
        el("code", { class: "soft" }, (allow ? `Allow: ${allow}\n` : "") + answer.body.trim())]);
    }
    show(table(["What", "Request", "Status", "Answer"], rows));
  },
});
