/* The model as a graph. A column is a step; a layer takes the free row nearest to the rows of what
 * it reads, so that chains stay straight. */
const Graph = (() => {
  const {D, el} = R, W = 152, H = 42, STEP_X = 188, STEP_Y = 54, TOP = 26;
  const steps = [...new Set(D.layers.map(l => l.start))].sort((a, b) => a - b);
  const column = new Map(steps.map((s, i) => [s, i]));
  const row = D.layers.map(() => 0);
  steps.forEach(s => {
    const here = D.layers.map((l, i) => i).filter(i => D.layers[i].start === s);
    const wish = new Map(here.map(i => {
      const from = D.layers[i].sources.filter(q => D.layers[q[0]].start < s);
      return [i, from.length ? d3.min(from, q => row[q[0]]) : 0];
    }));
    const taken = new Set();
    here.sort((a, b) => wish.get(a) - wish.get(b) || a - b).forEach(i => {
      let r = Math.round(wish.get(i));
      for (let k = 0; taken.has(r); k++)
        r = Math.max(0, Math.round(wish.get(i)) + (k % 2 ? -1 : 1) * Math.ceil((k + 1) / 2));
      taken.add(r);
      row[i] = r;
    });
  });
  const width = steps.length * STEP_X + 8, height = TOP + (d3.max(row) + 1) * STEP_Y + 4;
  const x = i => 8 + column.get(D.layers[i].start) * STEP_X, y = i => TOP + row[i] * STEP_Y;
  const edges = [];
  D.layers.forEach((l, to) => l.sources.forEach(([from, delay]) => edges.push({from, to, delay})));
  const path = e => {
    const x0 = x(e.from) + W, y0 = y(e.from) + H / 2, x1 = x(e.to), y1 = y(e.to) + H / 2,
          bend = Math.max(18, (x1 - x0) / 2);
    if (column.get(D.layers[e.to].start) - column.get(D.layers[e.from].start) <= 1)
      return `M${x0},${y0}C${x0 + bend},${y0} ${x1 - bend},${y1} ${x1},${y1}`;
    /* far: along the gap below the source's row */
    const lane = y(e.from) + H + (STEP_Y - H) / 2;
    return `M${x0},${y0}C${x0 + 16},${y0} ${x0 + 8},${lane} ${x0 + 30},${lane}L${x1 - 30},${lane}C${
        x1 - 8},${lane} ${x1 - 16},${y1} ${x1},${y1}`;
  };
  const svg = d3.create("svg")
                  .attr("width", width)
                  .attr("height", height)
                  .attr("viewBox", `0 0 ${width} ${height}`)
                  .attr("role", "group");
  svg.append("g")
      .attr("class", "axis")
      .selectAll("text")
      .data(steps)
      .join("text")
      .attr("x", s => 8 + column.get(s) * STEP_X)
      .attr("y", 13)
      .text(s => `step ${s}`);
  const lines = svg.append("g")
                    .selectAll("path")
                    .data(edges)
                    .join("path")
                    .attr("class", e => "edge" + (e.delay > 0 ? " late" : ""))
                    .attr("d", path);
  lines.append("title").text(
      e => `${D.layers[e.from].name} to ${D.layers[e.to].name}${
          e.delay ? `, ${e.delay} step${e.delay > 1 ? "s" : ""} late` : ""}`);
  const nodes = svg.append("g")
                    .selectAll("g")
                    .data(D.layers)
                    .join("g")
                    .attr("class", "node")
                    .attr("tabindex", 0)
                    .attr("role", "button")
                    .attr("transform", (l, i) => `translate(${x(i)},${y(i)})`)
                    .attr("aria-label", l => `${l.name}, ${l.kind}, ${l.cores} cores`);
  nodes.append("rect")
      .attr("class", "box")
      .attr("width", W)
      .attr("height", H)
      .attr("rx", 5)
      .style("--own", l => l.colour);
  nodes.append("rect").attr("width", 5).attr("height", H).attr("rx", 2).attr("fill", l => l.colour);
  nodes.append("text").attr("x", 12).attr("y", 17).text(l => R.fit(l.name, W - 20));
  nodes.append("text")
      .attr("class", "small")
      .attr("x", 12)
      .attr("y", 33)
      .text(
          l => `${l.shape.join("×")}${
              l.cores      ? " · " + l.cores + " core" + (l.cores > 1 ? "s" : "") :
                  l.guests ? " · guest" :
                             " · no cores"}`);
  nodes.append("title").text(
      l => `${l.name}: ${l.kind}, ${l.shape[0]} channels of ${l.shape[1]} × ${l.shape[2]}, step ${
          l.start}`);
  const choose = i => R.select({layer: R.state.layer === i ? -1 : i, core: -1});
  nodes.on("click", (l, i) => choose(i)).on("keydown", (l, i) => {
    if (d3.event.key === "Enter" || d3.event.key === " ") {
      d3.event.preventDefault();
      choose(i);
    }
  });

  const box = document.getElementById("graph-box");
  box.append(svg.node());
  const size = fit => {
    const w = fit ? Math.min(width, Math.max(320, box.clientWidth - 14)) : width, k = w / width;
    /* too small to read: the layers' colours alone, stretched to a map that can be clicked */
    const map = k < 0.6;
    svg.classed("map", map).attr("preserveAspectRatio", map ? "none" : null);
    svg.attr("width", w).attr("height", map ? Math.max(height * k, 0.55 * height) : height * k);
  };
  document.getElementById("graph-fit").addEventListener("click", () => size(true));
  document.getElementById("graph-full").addEventListener("click", () => size(false));
  document.getElementById("graph-note").textContent = `${D.layers.length} layers, ${
      edges.length} connections; dashed ones arrive later than the next step`;
  R.events.on("select.graph", () => {
    const on = R.state.layer >= 0 ? R.state.layer :
        R.state.core >= 0         ? R.mainLayer[R.state.core] :
                                    -1;
    nodes.classed("on", (l, i) => i === on);
    lines.classed("on", e => on >= 0 && (e.from === on || e.to === on));
    lines.filter(e => e.from === on || e.to === on).raise();
  });
  size(false);
  return {
    box,
    size,
    reveal: i => {
      box.scrollTo({left: Math.max(0, x(i) - 200), top: Math.max(0, y(i) - 150)});
    }
  };
})();
