/* What all parts of the page share: the data, units, the selection, small builders. Every name of a
 * model reaches the page through textContent, never as markup. */
const R = (() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const F = {};
  D.figures.forEach((f, i) => {
    F[f.key] = i;
  });
  const C = D.cores, LIMITED = 4;

  /* tiles of the cores, and the layer that a core is coloured by: that of its first tile */
  const tileFirst = new Uint32Array(C.n + 1);
  for (let i = 0; i < C.n; i++) tileFirst[i + 1] = tileFirst[i] + C.tiles[i];
  const tile = k => {
    const t = D.tiles;
    k *= 7;
    return {
      layer: t[k],
      rows: [t[k + 1], t[k + 2]],
      columns: [t[k + 3], t[k + 4]],
      channels: [t[k + 5], t[k + 6]],
      neurons: (t[k + 2] - t[k + 1]) * (t[k + 4] - t[k + 3]) * (t[k + 6] - t[k + 5])
    };
  };
  const tilesOf = core => d3.range(tileFirst[core], tileFirst[core + 1]).map(tile);
  const mainLayer = new Int32Array(C.n).fill(-1);
  const coresOf = D.layers.map(() => []);
  for (let i = 0; i < C.n; i++) {
    const first = tileFirst[i];
    if (C.tiles[i] > 0) mainLayer[i] = D.tiles[first * 7];
    const seen = new Set();
    for (let k = first; k < tileFirst[i + 1]; k++) seen.add(D.tiles[k * 7]);
    seen.forEach(l => coresOf[l].push(i));
  }

  /* ---- numbers with their units ---- */
  const whole = d3.format(",.0f"), some = d3.format(",.4~g");
  const num = v => v === null || v === undefined || Number.isNaN(v) ? "–" :
      Math.abs(v) >= 1000                                           ? whole(v) :
                                                                      some(v);
  const scaled = (v, steps) => {
    if (v === null || v === undefined || Number.isNaN(v)) return "–";
    let [size, unit] = steps[0];
    for (const [s, u] of steps)
      if (Math.abs(v) >= s) [size, unit] = [s, u];
    return d3.format(",.4~r")(v / size) + " " + unit;
  };
  const energy = v => scaled(v, [[1, "pJ"], [1e3, "nJ"], [1e6, "µJ"], [1e9, "mJ"], [1e12, "J"]]);
  const time = v => scaled(v, [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]]);
  const bits = v => scaled(v, [[1, "bit"], [8192, "KiB"], [8388608, "MiB"], [8589934592, "GiB"]]);
  const percent = v => v === null || v === undefined || Number.isNaN(v) ? "–" :
      v > 0 && v < 0.0005                                               ? "<0.1\u00a0%" :
                            d3.format(v < 0.1 && v > 0 ? ".1%" : ".0%")(v).replace("%", "\u00a0%");
  const short = v => scaled(v, [[1, ""], [1e3, "k"], [1e6, "M"], [1e9, "G"], [1e12, "T"]]).trim();
  const figure = (i, v) => i === F.energy ? energy(v) :
      i === F.busy_ns                     ? time(v) :
      i === F.synapse_bits                ? bits(v) :
                                            num(v);
  /* of a core: value, limit of its class, share of it */
  const value = (core, i) => {
    const column = C.figures[i];
    const v = column ? column[core] : null;
    return v === null || v === undefined ? NaN : v;
  };
  const limit = (core, i) => i < LIMITED ? (C.engine[core] ? D.engine_limit : D.limit)[i] : null;
  const share = (core, i) => {
    const l = limit(core, i);
    return l ? value(core, i) / l : NaN;
  };
  /* what the constraints say of a place, and pins that hold a core, in words */
  const marks = D.marks, constraints = D.mapping.constraints || {forbid: [], pin: []};
  const placeKey = (chip, x, y) => chip * 16777216 + y * 4096 + x;
  const forbidden = new Map();
  for (let i = 0; i < marks.places.length; i += 4)
    forbidden.set(
        placeKey(marks.places[i], marks.places[i + 1], marks.places[i + 2]), marks.places[i + 3]);
  const forbiddenBy = (chip, x, y) => {
    const i = forbidden.get(placeKey(chip, x, y));
    if (i === undefined) return null;
    return {reserved: constraints.forbid[i].reserved, area: marks.forbid[i]};
  };
  const pins = new Map();
  for (let i = 0; i < marks.pinned.length; i += 2) {
    const core = marks.pinned[i], k = marks.pinned[i + 1], pin = constraints.pin[k];
    const part = pin.part === null || pin.part === undefined ? "" : `, part ${pin.part}`;
    if (!pins.has(core)) pins.set(core, []);
    pins.get(core).push(`${pin.layer}${part} to ${marks.pins[k]}`);
  }
  const known = i => C.figures[i] !== null && C.figures[i] !== undefined;

  /* ---- small builders ---- */
  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes || {})) {
      if (k === "class") node.className = v;
      else if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
      else if (v !== null && v !== undefined && v !== false)
        node.setAttribute(k, v === true ? "" : v);
    }
    for (const c of children.flat(Infinity))
      if (c !== null && c !== undefined) node.append(c);
    return node;
  };
  const put = (id, ...children) => {
    const at = document.getElementById(id);
    at.replaceChildren(...children.flat(Infinity).filter(c => c));
    return at;
  };
  const panel = (title, note, ...children) =>
      el("div", {class: "panel"}, title ? el("h3", {}, title) : null,
         note ? el("p", {class: "note"}, note) : null, ...children);
  const swatch = colour => {
    const s = el("span", {class: "swatch"});
    s.style.background = colour;
    return s;
  };
  /* a drawing that is made anew for every width that its place has */
  const responsive = (draw, most) => {
    const box = el("div");
    let last = 0;
    new ResizeObserver(() => {
      const w = Math.min(most || 1400, Math.floor(box.clientWidth));
      if (w > 60 && w !== last) {
        last = w;
        box.replaceChildren(draw(w));
      }
    }).observe(box);
    return box;
  };
  const stack = (...children) => el("div", {class: "stack"}, ...children);
  const empty = (text, command) =>
      el("div", {class: "empty"}, el("p", {}, text), command ? el("pre", {}, command) : null);
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* ---- selection and theme ---- */
  const events = d3.dispatch("select", "theme", "resize");
  const state = {core: -1, layer: -1};
  const select = (change) => {
    Object.assign(state, change);
    events.call("select");
  };
  const show = id => document.getElementById(id).scrollIntoView();
  const scale = t => {
    const s = D.scale, at = Math.min(Math.max(t, 0), 1) * (s.length - 1),
          i = Math.min(Math.floor(at), s.length - 2);
    return d3.interpolateRgb(s[i], s[i + 1])(at - i);
  };
  const scaleBar = () => "linear-gradient(90deg," + D.scale.join(",") + ")";
  const layerName = l => l < 0 ? "none" : D.layers[l].name;
  /* the end of a name, which tells layers apart, where room is scarce */
  const ruler = document.createElement("canvas").getContext("2d");
  const fit = (text, pixels, font) => {
    ruler.font = font || "11.5px " + getComputedStyle(document.body).fontFamily;
    if (ruler.measureText(text).width <= pixels) return text;
    let from = 1;
    while (from < text.length && ruler.measureText("…" + text.slice(from)).width > pixels) from++;
    return "…" + text.slice(from);
  };
  const model = (D.mapping.provenance || {}).model || "model";
  const simulated = D.images > 0;
  const perImage = simulated ?
      `measured on ${D.images} simulated image${D.images === 1 ? "" : "s"}` :
      `predicted from ${((D.cost.totals || {}).predicted || {}).rates || "declared"} firing rates`;
  const COMMANDS = {
    simulate: "spikec simulate DIR --input IMAGES --spikes spikes.safetensors",
    verify: "spikec verify DIR --input IMAGES --labels LABELS",
    report: "spikec report DIR -o report.html --spikes spikes.safetensors",
    probes:
        "spikec simulate DIR --input IMAGES --probe 'LAYER[NEURONS]' --probe-out probes.safetensors\n" +
        "spikec report DIR -o report.html --probes probes.safetensors"
  };
  return {
    D,
    F,
    C,
    LIMITED,
    tilesOf,
    mainLayer,
    coresOf,
    num,
    energy,
    time,
    bits,
    percent,
    short,
    figure,
    value,
    limit,
    share,
    known,
    placeKey,
    forbiddenBy,
    pins,
    el,
    put,
    panel,
    responsive,
    stack,
    swatch,
    empty,
    css,
    events,
    state,
    select,
    show,
    scale,
    scaleBar,
    layerName,
    fit,
    model,
    simulated,
    perImage,
    COMMANDS
  };
})();
