/* The page of an exploration: one dot a variant, the front as a line, and all rows as a table that
 * sorts. Names and values reach the page through textContent, never as markup. */
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const FIGURES = [
    ["cores", "cores"], ["chips", "chips"], ["energy_pj", "energy per image"],
    ["latency_ticks", "latency (ticks)"], ["interval_ticks", "interval (ticks)"],
    ["latency_steps", "latency (steps)"], ["neurons", "neurons"],
    ["synapse_bits", "synaptic memory (bits)"], ["messages", "messages per image"],
    ["hops", "hops per image"], ["busy_ns", "busiest core (ns per image)"],
    ["time_ns", "time (ns per image)"], ["top1", "top-1 accuracy"]
  ];
  const front = new Set(D.front), rows = D.rows.map((r, i) => ({...r, i, front: front.has(i)}));
  const fitting = rows.filter(r => r.fits);
  const known = FIGURES.filter(([k]) => fitting.some(r => r[k] !== null));
  const label = k => (FIGURES.find(f => f[0] === k) || [k, k])[1];
  const some = d3.format(",.4~g");
  const energy = v => {
    const at = [[1e9, "mJ"], [1e6, "µJ"], [1e3, "nJ"], [1, "pJ"]].find(u => v >= u[0]) || [1, "pJ"];
    return d3.format(",.4~r")(v / at[0]) + " " + at[1];
  };
  const text = (k, v) => v === null || v === undefined ? "–" :
      k === "energy_pj"                                ? energy(v) :
      Math.abs(v) >= 1000                              ? d3.format(",.0f")(v) :
                                                         some(v);
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const node = (tag, content) => {
    const n = document.createElement(tag);
    n.textContent = content;
    return n;
  };

  /* ---- heading ---- */
  const name = D.model.replace(/\.(spk|sir)$/, "") + (D.target ? " on " + D.target : "");
  document.title = name + " · spikec explore";
  document.getElementById("title").textContent = name;
  document.getElementById("subtitle").textContent =
      `${D.done} of ${D.points} variants ${D.compiled ? "compiled" : "estimated"}, ${
          D.fitting} fit`;
  document.getElementById("judges").textContent = D.judged_by.length === 0 ?
      "No variant fits." :
      `A variant is on the front where no other is at least as good in ${
          D.judged_by.map(label).join(", ")} and better in one of them.`;
  document.getElementById("count").textContent =
      `${rows.length} rows; a click on a heading sorts. Variants that do not fit say why.`;

  /* ---- plot ---- */
  const choose = (id, options, value) => {
    const s = document.getElementById(id);
    options.forEach(([k, l]) => {
      const o = node("option", l);
      o.value = k;
      s.append(o);
    });
    if (options.some(o => o[0] === value)) s.value = value;
    s.addEventListener("change", () => draw());
    return s;
  };
  const x = choose("x", known, "cores"),
        y = choose("y", known, known.some(k => k[0] === "energy_pj") ? "energy_pj" : "latency_ticks");
  const colour = choose("colour", [["", "front"], ...D.varied.map(v => [v.name, v.name])], "");
  const scaling = choose("scale", [], "");
  const tip = node("div", "");
  tip.className = "tip";
  tip.hidden = true;
  const describe = r => D.varied.map(v => `${v.name} ${r.point[v.name]}`).join(", ");
  const hues = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8b8000",
    "#8c564b"];
  const hue = r => {
    if (!colour.value) return r.front ? css("--accent") : css("--ghost");
    const at = D.varied.find(v => v.name === colour.value).values.indexOf(r.point[colour.value]);
    return hues[at % hues.length];
  };
  const axis = (k, from, to) => {
    const values = fitting.map(r => r[k]).filter(v => v !== null);
    let [lo, hi] = d3.extent(values);
    if (lo === hi) [lo, hi] = lo === 0 ? [-1, 1] : [lo * 0.9, hi * 1.1];
    if (scaling.value === "log" && lo > 0)
      return d3.scaleLog().domain([lo / 1.1, hi * 1.1]).range([from, to]);
    const pad = (hi - lo) * 0.06;
    return d3.scaleLinear().domain([lo >= 0 ? Math.max(0, lo - pad) : lo - pad, hi + pad]).nice().range([from, to]);
  };
  const draw = () => {
    const box = document.getElementById("plot");
    box.replaceChildren(tip);
    const w = Math.max(320, box.clientWidth), h = 460, m = {l: 96, r: 24, t: 18, b: 48};
    if (fitting.length === 0 || known.length === 0) return;
    const svg = d3.select(box).append("svg").attr("width", w).attr("height", h)
                    .attr("role", "img")
                    .attr("aria-label", `${label(y.value)} against ${label(x.value)}`);
    const sx = axis(x.value, m.l, w - m.r), sy = axis(y.value, h - m.b, m.t);
    const ticks = (s, k, n) => s.ticks(n).map(v => [s(v), text(k, v)]);
    const grid = svg.append("g").attr("fill", css("--muted")).attr("font-size", 12);
    let last = -1e9;
    ticks(sx, x.value, Math.floor(w / 120)).forEach(([p, t]) => {
      grid.append("line").attr("x1", p).attr("x2", p).attr("y1", m.t).attr("y2", h - m.b)
          .attr("stroke", css("--line"));
      if (p - last < 70) return;
      last = p;
      grid.append("text").attr("x", p).attr("y", h - m.b + 18).attr("text-anchor", "middle").text(t);
    });
    last = 1e9;
    ticks(sy, y.value, 7).forEach(([p, t]) => {
      grid.append("line").attr("x1", m.l).attr("x2", w - m.r).attr("y1", p).attr("y2", p)
          .attr("stroke", css("--line"));
      if (last - p < 16) return;
      last = p;
      grid.append("text").attr("x", m.l - 8).attr("y", p + 4).attr("text-anchor", "end").text(t);
    });
    grid.append("text").attr("x", (m.l + w - m.r) / 2).attr("y", h - 8)
        .attr("text-anchor", "middle").text(label(x.value));
    grid.append("text").attr("transform", `translate(14,${(h - m.b + m.t) / 2}) rotate(-90)`)
        .attr("text-anchor", "middle").text(label(y.value));
    const shown = fitting.filter(r => r[x.value] !== null && r[y.value] !== null);
    const line = shown.filter(r => r.front).sort((a, b) => a[x.value] - b[x.value]);
    svg.append("path").attr("fill", "none").attr("stroke", css("--accent")).attr("stroke-opacity", 0.5)
        .attr("d", d3.line().x(r => sx(r[x.value])).y(r => sy(r[y.value]))(line));
    svg.append("g").selectAll("circle").data(shown).enter().append("circle")
        .attr("class", r => r.front ? "dot front" : "dot")
        .attr("cx", r => sx(r[x.value])).attr("cy", r => sy(r[y.value]))
        .attr("r", r => r.front ? 6 : 4.5).attr("fill", hue)
        .attr("stroke", r => r.front ? css("--text") : css("--muted"))
        .attr("tabindex", 0)
        .attr("aria-label", r => `${describe(r)}: ${text(x.value, r[x.value])}, ${
                                   text(y.value, r[y.value])}`)
        .on("mouseenter focus", r => {
          tip.replaceChildren(node("b", describe(r)), ...known.map(([k, l]) => node("div", `${l}: ${text(k, r[k])}`)));
          tip.hidden = false;
          const px = sx(r[x.value]), py = sy(r[y.value]);
          tip.style.left = (px > w / 2 ? px - tip.offsetWidth - 12 : px + 12) + "px";
          tip.style.top = Math.max(0, Math.min(py - 20, h - tip.offsetHeight)) + "px";
        })
        .on("mouseleave blur", () => {
          tip.hidden = true;
        });
    if (colour.value) {
      const v = D.varied.find(a => a.name === colour.value);
      v.values.forEach((value, i) => {
        svg.append("rect").attr("x", w - m.r - 130).attr("y", m.t + 6 + i * 18).attr("width", 11)
            .attr("height", 11).attr("fill", hues[i % hues.length]);
        svg.append("text").attr("x", w - m.r - 112).attr("y", m.t + 16 + i * 18)
            .attr("font-size", 12).attr("fill", css("--text")).text(`${v.name} ${value}`);
      });
    }
  };

  /* ---- table ---- */
  const columns = [
    ["front", "front", r => r.front ? 0 : r.fits ? 1 : 2, r => r.front ? "●" : ""],
    ...D.varied.map(v => [v.name, v.name, r => v.values.indexOf(r.point[v.name]), r => r.point[v.name]]),
    ...known.map(([k, l]) => [k, l, r => r[k] === null ? Infinity : r[k], r => text(k, r[k])]),
    ...(rows.some(r => !r.fits) ? [["reason", "why it does not fit", r => r.reason || "", r => r.reason || ""]] : []),
    ...(rows.some(r => r.folder) ? [["folder", "folder", r => r.folder || "", r => r.folder || ""]] : [])
  ];
  let by = 0, up = true;
  const table = () => {
    const head = document.createElement("tr"), body = document.createElement("tbody");
    columns.forEach(([k, l], i) => {
      const th = document.createElement("th"), b = node("button", l + (i === by ? up ? " ▲" : " ▼" : ""));
      b.type = "button";
      b.className = "link";
      b.dataset.key = k;
      b.addEventListener("click", () => {
        up = i === by ? !up : true;
        by = i;
        table();
      });
      th.style.textAlign = "left";
      th.style.paddingRight = "14px";
      th.append(b);
      head.append(th);
    });
    const value = columns[by][2];
    [...rows].sort((a, b) => (up ? 1 : -1) * d3.ascending(value(a), value(b)) || a.i - b.i)
        .forEach(r => {
          const tr = document.createElement("tr");
          tr.className = r.front ? "front" : r.fits ? "" : "refused";
          if (r.front) tr.style.fontWeight = 600;
          columns.forEach(c => {
            const td = node("td", c[3](r));
            td.style.paddingRight = "14px";
            tr.append(td);
          });
          body.append(tr);
        });
    const thead = document.createElement("thead");
    thead.append(head);
    document.getElementById("table").replaceChildren(thead, body);
  };

  /* ---- theme ---- */
  const button = document.getElementById("theme");
  const setTheme = t => {
    document.documentElement.dataset.theme = t;
    button.textContent = t === "dark" ? "Light" : "Dark";
    draw();
  };
  button.addEventListener(
      "click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  table();
  addEventListener("resize", draw);
})();
