// Draws the charts of the page from the JSON in #data. Figures and tables are in the page already; without scripts they still read.

const data = JSON.parse(document.getElementById("data").textContent);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const $ = (id) => document.getElementById(id);

// A duration in ns with a unit that suits it.
function human(ns) {
  const size = Math.abs(ns);
  const [value, unit] = size < 1e3 ? [ns, "ns"] : size < 1e6 ? [ns / 1e3, "µs"] : size < 1e9 ? [ns / 1e6, "ms"] : [ns / 1e9, "s"];
  const v = Math.abs(value);
  return (size < 1e3 ? Math.round(value) : value.toFixed(v < 10 ? 2 : v < 100 ? 1 : 0)) + " " + unit;
}

// A point in time with as many decimals as the step between two of them needs.
function moment(ns, step) {
  const [div, unit] = step >= 1e8 ? [1e9, "s"] : step >= 1e3 ? [1e6, "ms"] : [1e3, "µs"];
  const decimals = Math.max(0, Math.ceil(-Math.log10(step / div) - 1e-9)) + (Number.isInteger(step / 10 ** Math.floor(Math.log10(step) + 1e-9)) ? 0 : 1);
  return (ns / div).toFixed(Math.min(decimals, 6)) + " " + unit;
}

const times = Array.from({ length: data.bins }, (_, i) => (data.from + (i + 0.5) * data.bin) / 1e6);
const sum = (key) => times.map((_, i) => data.ps.reduce((s, p) => s + p[key][i], 0));
const charts = [];

function axes(label, extra = {}) {
  const grid = { stroke: css("--line"), width: 1 }, font = "12px " + css("--sans");
  return [
    { stroke: css("--faint"), grid, ticks: grid, font, values: (_, vs) => vs.map((v) => +v.toFixed(6) + " ms") },
    { stroke: css("--faint"), grid, ticks: grid, font, label, labelFont: font, labelSize: 18, size: 56, ...extra },
  ];
}

// A chart over the run's time; all of them zoom together.
function overTime(id, series, label, extra = {}) {
  const el = $(id);
  if (!el) return;
  const opts = {
    width: el.clientWidth, height: 220, axes: axes(label),
    cursor: { sync: { key: "time" }, drag: { x: true, y: false } },
    scales: { x: { time: false }, y: { range: (_, lo, hi) => [0, Math.max(hi * 1.08, 1)] } },
    series: [{ label: "at", value: (_, v) => (v == null ? "" : v.toFixed(3) + " ms") }, ...series.map(([name, colour, , more = {}]) => ({
      label: name, stroke: css(colour), width: 1.5, points: { show: false }, value: (_, v) => (v == null ? "" : +v.toFixed(2)), ...more,
    }))],
    ...extra,
  };
  const chart = new uPlot(opts, [times, ...series.map(([, , values]) => values)], el);
  charts.push([chart, el]);
}

function utilisation() {
  const running = sum("running"), syscall = sum("syscall"), scheduling = sum("scheduling");
  const a = running, b = a.map((v, i) => v + syscall[i]), c = b.map((v, i) => v + scheduling[i]);
  // Only where events were lost.
  const unknown = times.map((_, i) => data.ps.reduce((s, p) => s + (p.unknown?.[i] ?? 0), 0)), d = c.map((v, i) => v + unknown[i]);
  // Stacked: the tallest is drawn first, and the readout says each one's own share.
  const own = (values) => ({ value: (_, __, ___, i) => (i == null ? "" : values[i].toFixed(2)) });
  overTime("chart-utilisation", [
    ...(data.ps.some((p) => p.unknown) ? [["unknown", "--line-strong", d, { fill: css("--line-strong"), width: 0, ...own(unknown) }]] : []),
    ["scheduling", "--scheduling", c, { fill: css("--scheduling"), width: 0, ...own(scheduling) }],
    ["in system calls", "--syscall", b, { fill: css("--syscall"), width: 0, ...own(syscall) }],
    ["running", "--running", a, { fill: css("--running"), width: 0, ...own(running) }],
  ], "Ps", { scales: { x: { time: false }, y: { range: [0, Math.max(1, data.ps.length)] } } });
  // Of the time of which it is known: where events were lost that may be a part of a column, or none.
  const known = (p) => p.unknown ? p.running.map((v, i) => (p.unknown[i] < 1 ? v / (1 - p.unknown[i]) : 0)) : p.running;
  heat("chart-utilisation-p", data.ps.map((p) => ["P" + p.p, known(p)]), 1, "--heat-running", (v) => (100 * v).toFixed(0) + " % running");
}

// Rows of cells, the darker the more.
function heat(id, rows, most, colour, read) {
  const el = $(id);
  if (!el || !rows.length) return;
  const h = Math.max(6, Math.min(20, Math.floor(420 / rows.length))), left = 56;
  const canvas = document.createElement("canvas"), out = document.createElement("div");
  out.className = "readout";
  el.append(canvas, out);
  const draw = () => {
    const w = el.clientWidth, dpr = devicePixelRatio || 1;
    canvas.width = w * dpr; canvas.height = rows.length * h * dpr;
    canvas.style.width = w + "px"; canvas.style.height = rows.length * h + "px";
    const c = canvas.getContext("2d");
    c.scale(dpr, dpr);
    c.font = "11px " + css("--sans");
    c.textBaseline = "middle";
    rows.forEach(([name, values], r) => {
      c.fillStyle = css("--faint");
      if (h >= 11) c.fillText(name, 4, r * h + h / 2);
      values.forEach((v, i) => {
        c.fillStyle = `rgb(${css(colour)} / ${Math.min(1, v / most)})`;
        const x = left + ((w - left) * i) / values.length;
        c.fillRect(x, r * h, (w - left) / values.length + 0.5, h - 1);
      });
    });
  };
  canvas.addEventListener("mousemove", (e) => {
    const r = Math.floor(e.offsetY / h), i = Math.floor(((e.offsetX - left) / (el.clientWidth - left)) * data.bins);
    const row = rows[r];
    out.textContent = row && i >= 0 && i < data.bins ? `${row[0]}, ${times[i].toFixed(3)} ms: ${read(row[1][i])}` : "";
  });
  draw();
  charts.push([{ setSize: draw }, el]);
}

function latency() {
  const el = $("chart-latency");
  const counts = data.latency.filter(([, n], i, all) => n > 0 || (i > 0 && i < all.length - 1));
  if (!counts.length) { el.innerHTML = '<p class="empty">No G waited for a P.</p>'; return; }
  let chart = null;
  const draw = (log) => {
    if (chart) { charts.splice(charts.findIndex(([c]) => c === chart), 1); chart.destroy(); }
    const bars = uPlot.paths.bars({ size: [0.9, 80] });
    const xs = counts.map((_, i) => i);
    const opts = {
      width: el.clientWidth, height: 240, legend: { live: true }, cursor: { drag: { x: false } },
      scales: { x: { time: false, range: [-0.7, counts.length - 0.3] }, y: log ? { distr: 3, range: (_, __, hi) => [0.7, hi * 1.6] } : { range: (_, __, hi) => [0, hi * 1.05] } },
      axes: [{ ...axes("")[0], splits: () => xs.filter((i) => i % Math.ceil(counts.length / 9) === 0), values: (_, vs) => vs.map((i) => (counts[i] ? "≤ " + human(counts[i][0]) : "")) },
        { ...axes("waits")[1], size: 68 }],
      series: [{ label: "up to", value: (_, i) => (i == null || !counts[i] ? "" : human(counts[i][0])) },
        { label: "waits", stroke: css("--runnable"), fill: css("--runnable"), paths: bars, points: { show: false } }],
    };
    chart = new uPlot(opts, [xs, counts.map(([, n]) => (log && n === 0 ? null : n))], el);
    charts.push([chart, el]);
  };
  draw(false);
  $("latency-log").addEventListener("change", (e) => draw(e.target.checked));
}

function queues() {
  const global = data.queues.find((q) => q.name === "global")?.longest ?? times.map(() => 0);
  const locals = data.queues.filter((q) => q.name !== "global");
  const longest = times.map((_, i) => locals.reduce((m, q) => Math.max(m, q.longest[i]), 0));
  const step = { paths: uPlot.paths.stepped({ align: 1 }) };
  overTime("chart-queues", [["longest local queue", "--runnable", longest, step], ["global queue", "--syscall", global, { ...step, dash: [6, 4] }]], "Gs");
  const most = Math.max(1, ...longest);
  heat("chart-queues-p", locals.map((q) => [q.name, q.longest]), most, "--heat-queue", (v) => v + " Gs at most");
}

function steals() {
  const el = $("steal-matrix"), ps = data.ps.map((p) => p.p);
  if (!data.steals.length) { el.innerHTML = '<p class="empty">Nobody stole.</p>'; return; }
  const of = new Map(data.steals.map(([t, v, n]) => [t + ":" + v, n])), most = Math.max(...of.values());
  const table = document.createElement("table");
  table.className = "matrix" + (ps.length > 24 ? " dense" : "");
  const cell = (row, tag, text, cls) => { const c = document.createElement(tag); c.textContent = text; if (cls) c.className = cls; row.append(c); return c; };
  const head = table.insertRow();
  cell(head, "th", "thief \\ victim");
  ps.forEach((p) => cell(head, "th", "P" + p));
  cell(head, "th", "took", "sum");
  ps.forEach((t) => {
    const row = table.insertRow();
    cell(row, "th", "P" + t);
    let took = 0;
    ps.forEach((v) => {
      const n = of.get(t + ":" + v) ?? 0;
      took += n;
      const c = cell(row, "td", t === v ? "" : n || "", t === v ? "self" : "");
      if (n) {
        c.style.background = `rgb(${css("--heat-steal")} / ${0.12 + (0.88 * n) / most})`;
        if (n / most > 0.5) c.style.color = css("--ground");
        c.title = `P${t} took ${n} Gs from P${v}`;
      }
    });
    cell(row, "td", took, "sum");
  });
  el.append(table);
}

function threads() {
  const procs = data.ps.length;
  overTime("chart-threads", [
    ["threads", "--accent", data.threads],
    ["Ps + Gs in system calls", "--faint", data.blocked.map((b) => procs + b), { dash: [6, 4] }],
  ], "threads");
}

// The timeline: what each P ran above, what each G did below.
function timeline() {
  const root = $("timeline-view");
  root.className = "tl";
  root.innerHTML = '<div class="tl-bar"><span class="windows"></span><span class="space"></span><input type="search" placeholder="G17" aria-label="Show a G"></div>' +
    '<div class="tl-why" aria-live="polite"></div><canvas class="tl-pan" tabindex="0" aria-label="What each P ran"></canvas>' +
    '<div class="tl-gs"><canvas class="tl-pan" aria-label="What each G did"></canvas></div><div class="tl-legend"></div><div class="tl-tip" hidden></div>';
  const [pCanvas, gCanvas] = root.querySelectorAll("canvas"), why = root.querySelector(".tl-why"), tip = root.querySelector(".tl-tip");
  const box = root.querySelector(".tl-gs"), left = 64, axis = 22, lane = Math.max(12, Math.min(26, 360 / data.ps.length)), row = 15;
  let view = [data.from, data.to], shown = [], only = null;
  const stateColours = ["--running", "--runnable", "--syscall", "--waiting"];
  const colourOf = (d, g) => { const s = d.sites[g]; return css(s && s[0] != null ? "--site-" + s[0] : "--site-other"); };

  const buttons = root.querySelector(".windows");
  const button = (text, go) => { const b = document.createElement("button"); b.type = "button"; b.textContent = text; b.addEventListener("click", go); buttons.append(b, " "); return b; };
  button("Whole run", () => show(data.from, data.to));
  data.details.filter((d) => d.from !== data.from || d.to !== data.to).forEach((d) => button(d.why, () => show(d.from, d.to)));

  const legend = root.querySelector(".tl-legend");
  const item = (colour, text) => { const s = document.createElement("span"), i = document.createElement("i"); i.style.background = colour; s.append(i, text); legend.append(s); };
  data.sites.forEach((s, i) => item(css("--site-" + i), s));
  item(css("--site-other"), "other sites");
  ["G runs", "G is runnable", "G in a system call", "G waits"].forEach((t, i) => item(css(stateColours[i]), t));
  item(css("--scheduling"), "P looks for work");

  // The first of intervals sorted by their ends that ends at `from` or later.
  function first(list, from) {
    let lo = 0, hi = list.length;
    while (lo < hi) { const mid = (lo + hi) >> 1; if (list[mid][2] < from) lo = mid + 1; else hi = mid; }
    return lo;
  }
  data.details.forEach((d) => { d.ps.sort((a, b) => a[2] - b[2]); d.gs.sort((a, b) => a[2] - b[2]); });

  function prepare(canvas, height) {
    const w = root.clientWidth, dpr = devicePixelRatio || 1;
    canvas.width = w * dpr; canvas.height = height * dpr;
    canvas.style.width = w + "px"; canvas.style.height = height + "px";
    const c = canvas.getContext("2d");
    c.scale(dpr, dpr);
    c.font = "11px " + css("--sans");
    c.textBaseline = "middle";
    return [c, w, (t) => left + ((t - view[0]) / (view[1] - view[0])) * (w - left)];
  }

  function drawPs() {
    const height = axis + data.ps.length * lane + 4, [c, w, x] = prepare(pCanvas, height);
    let step = 10 ** Math.floor(Math.log10((view[1] - view[0]) / 4));
    if ((view[1] - view[0]) / step > 12) step *= 2.5;
    c.strokeStyle = css("--line"); c.fillStyle = css("--faint");
    for (let t = Math.ceil(view[0] / step) * step; t <= view[1]; t += step) {
      c.beginPath(); c.moveTo(x(t), axis - 4); c.lineTo(x(t), height); c.stroke();
      c.fillText(moment(t, step), Math.min(x(t) + 3, w - 60), 9);
    }
    const lanes = new Map(data.ps.map((p, i) => [p.p, axis + i * lane]));
    const covered = (a, b) => data.details.some((d) => d.from <= a && d.to >= b);
    data.ps.forEach((p, i) => {
      const y = axis + i * lane;
      c.fillStyle = css("--faint"); c.fillText("P" + p.p, 8, y + lane / 2);
      c.fillStyle = css("--idle"); c.fillRect(left, y + 1, w - left, lane - 3);
      for (let b = 0; b < data.bins; b++) {
        const from = data.from + b * data.bin, to = from + data.bin;
        if (to < view[0] || from > view[1] || covered(Math.max(from, view[0]), Math.min(to, view[1]))) continue;
        const h = (lane - 3) * Math.min(1, p.running[b]);
        c.fillStyle = css("--running");
        c.fillRect(Math.max(left, x(from)), y + lane - 2 - h, Math.max(0.5, Math.min(w, x(to)) - Math.max(left, x(from))), h);
      }
    });
    shown = data.details.filter((d) => d.to > view[0] && d.from < view[1]);
    let drawn = 0;
    shown.forEach((d) => {
      for (let i = first(d.ps, view[0]); i < d.ps.length; i++) {
        const [p, from, to, state, g] = d.ps[i];
        if (from > view[1]) continue;
        const a = Math.max(left, x(from)), b = Math.min(w, x(to)), y = lanes.get(p);
        // What is not known is a hole in the lane.
        c.fillStyle = state === 0 ? colourOf(d, g) : state === 1 ? css("--syscall") : state === 2 ? css("--scheduling") : state === 3 ? css("--line-strong") : css("--card");
        const h = state === 0 || state === 4 ? lane - 3 : (lane - 3) / 2;
        c.fillRect(a, y + 1 + (lane - 3 - h), Math.max(0.6, b - a), h);
        if (state === 0 && b - a > 34) { c.fillStyle = "#fff"; c.fillText("G" + g, a + 4, y + lane / 2); }
        drawn++;
      }
    });
    return drawn;
  }

  function rowsOf() {
    const seen = new Map();
    shown.forEach((d) => {
      for (let i = first(d.gs, view[0]); i < d.gs.length; i++) {
        const s = d.gs[i];
        if (s[1] <= view[1] && (only == null || s[0] === only)) seen.set(s[0], d);
      }
    });
    return [...seen.entries()].sort((a, b) => a[0] - b[0]);
  }

  function drawGs() {
    const rows = rowsOf(), [c, w, x] = prepare(gCanvas, Math.max(rows.length * row, 40));
    const at = new Map(rows.map(([g], i) => [g, i * row]));
    c.fillStyle = css("--faint");
    if (!rows.length) c.fillText(only == null ? "Single Gs are shown inside the windows." : "G" + only + " does nothing here.", 8, 20);
    rows.forEach(([g]) => c.fillText("G" + g, 8, at.get(g) + row / 2));
    shown.forEach((d) => {
      for (let i = first(d.gs, view[0]); i < d.gs.length; i++) {
        const [g, from, to, state] = d.gs[i], y = at.get(g);
        if (from > view[1] || y == null) continue;
        const a = Math.max(left, x(from)), b = Math.min(w, x(to)), h = [row - 3, row / 2, row - 3, 2][state];
        c.fillStyle = css(stateColours[state]);
        c.fillRect(a, y + (row - h) / 2, Math.max(0.6, b - a), h);
      }
    });
    return rows;
  }

  let rows = [];
  function draw() {
    const drawn = drawPs();
    rows = drawGs();
    const inside = data.details.find((d) => d.from <= view[0] && d.to >= view[1]);
    why.textContent = `${moment(view[0], 1e3)} to ${moment(view[1], 1e3)} (${human(view[1] - view[0])})` + (inside ? `: every switch is drawn; ${inside.why}` : ": columns are averages outside the windows");
    Object.assign(document.body.dataset, { from: Math.round(view[0]), to: Math.round(view[1]), drawn, rows: rows.length });
  }

  function show(from, to, g = null) {
    const least = 200, width = Math.max(least, Math.min(to - from, data.to - data.from));
    from = Math.max(data.from, Math.min(from, data.to - width));
    view = [from, from + width];
    only = g;
    draw();
  }
  const zoom = (factor, at) => show(at - (at - view[0]) * factor, at + (view[1] - at) * factor, only);
  const timeAt = (e, canvas) => view[0] + Math.max(0, (e.clientX - canvas.getBoundingClientRect().left - left) / (root.clientWidth - left)) * (view[1] - view[0]);

  [pCanvas, gCanvas].forEach((canvas) => {
    canvas.addEventListener("wheel", (e) => {
      if (canvas === gCanvas && !e.ctrlKey && !e.shiftKey) return;
      e.preventDefault();
      zoom(e.deltaY > 0 ? 1.25 : 0.8, timeAt(e, canvas));
    }, { passive: false });
    let drag = null;
    canvas.addEventListener("pointerdown", (e) => { drag = [e.clientX, ...view]; canvas.setPointerCapture(e.pointerId); canvas.classList.add("dragging"); });
    canvas.addEventListener("pointerup", () => { drag = null; canvas.classList.remove("dragging"); });
    canvas.addEventListener("pointermove", (e) => {
      if (drag) {
        const shift = ((drag[0] - e.clientX) / (root.clientWidth - left)) * (drag[2] - drag[1]);
        show(drag[1] + shift, drag[2] + shift, only);
        return;
      }
      const t = timeAt(e, canvas), y = e.clientY - canvas.getBoundingClientRect().top;
      const text = canvas === pCanvas ? tipP(t, y) : tipG(t, y);
      tip.hidden = !text;
      if (text) {
        tip.replaceChildren(...text);
        tip.style.left = Math.min(e.clientX + 14, innerWidth - 390) + "px";
        tip.style.top = e.clientY + 16 + "px";
      }
    });
    canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  });
  const lines = (title, ...rest) => { const b = document.createElement("b"); b.textContent = title; return [b, ...rest.flatMap((r) => [document.createElement("br"), r])]; };
  function tipP(t, y) {
    const p = data.ps[Math.floor((y - axis) / lane)];
    if (!p || y < axis) return null;
    for (const d of shown) {
      const s = d.ps.find((s) => s[0] === p.p && s[1] <= t && t <= s[2]);
      if (s) return lines(["G" + s[4] + " runs", "G" + s[4] + " in a system call", "looks for work", "stopped", "not known: events were lost"][s[3]], `P${p.p}, ${human(s[2] - s[1])} from ${moment(s[1], 1e3)}`, ...(s[4] ? ["spawned at " + (d.sites[s[4]]?.[1] ?? "?")] : []));
    }
    const bin = Math.floor((t - data.from) / data.bin);
    return shown.some((d) => d.from <= t && t <= d.to) ? lines("idle", "P" + p.p) : lines((100 * (p.running[bin] ?? 0)).toFixed(0) + " % running", `P${p.p}, on average over ${human(data.bin)}`);
  }
  function tipG(t, y) {
    const found = rows[Math.floor(y / row)];
    if (!found) return null;
    const [g, d] = found, s = d.gs.find((s) => s[0] === g && s[1] <= t && t <= s[2]);
    return s && lines("G" + g + " " + data.states[s[4]], `${human(s[2] - s[1])} from ${moment(s[1], 1e3)}`, "spawned at " + (d.sites[g]?.[1] ?? "?"));
  }
  root.addEventListener("keydown", (e) => {
    if (e.target.tagName === "INPUT") return;
    const width = view[1] - view[0], mid = (view[0] + view[1]) / 2;
    const stops = [{ from: data.from, to: data.to }, ...data.details], now = stops.findIndex((d) => d.from === view[0] && d.to === view[1]);
    const go = (i) => { const d = stops[(i + stops.length) % stops.length]; show(d.from, d.to); };
    const keys = {
      "+": () => zoom(0.6, mid), "=": () => zoom(0.6, mid), "-": () => zoom(1.6, mid), 0: () => show(data.from, data.to),
      ArrowLeft: () => show(view[0] - width / 5, view[1] - width / 5, only), ArrowRight: () => show(view[0] + width / 5, view[1] + width / 5, only),
      "[": () => go(now - 1), "]": () => go(now + 1),
    };
    if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
  });
  root.querySelector("input").addEventListener("change", (e) => {
    const n = parseInt(e.target.value.replace(/^g/i, ""), 10);
    show(view[0], view[1], Number.isFinite(n) ? n : null);
  });
  document.querySelectorAll("button.show").forEach((b) => b.addEventListener("click", () => {
    show(+b.dataset.from, +b.dataset.to);
    $("timeline").scrollIntoView();
  }));
  // #zoom=FROM..TO, in ns, opens the page at a moment: links to one can be passed on.
  const asked = /zoom=(-?\d+)\.\.(-?\d+)/.exec(location.hash);
  if (asked) show(+asked[1], +asked[2]); else draw();
  charts.push([{ setSize: draw }, root]);
}

utilisation();
latency();
queues();
steals();
threads();
timeline();

// The width of the page is that of the charts.
let last = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === last) return;
  last = innerWidth;
  charts.forEach(([chart, el]) => chart.setSize({ width: el.clientWidth, height: chart.height ?? 220 }));
});
// The contents say where one is.
const links = new Map([...document.querySelectorAll("nav li a")].map((a) => [a.getAttribute("href").slice(1), a]));
const seen = new IntersectionObserver((entries) => entries.forEach((e) => {
  if (!e.isIntersecting) return;
  links.forEach((a) => a.classList.remove("here"));
  links.get(e.target.id)?.classList.add("here");
}), { rootMargin: "-10% 0px -80% 0px" });
document.querySelectorAll("section").forEach((s) => seen.observe(s));
document.body.dataset.ready = "yes";
