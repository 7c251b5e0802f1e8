// Search, theme and menu of the documentation. SECTIONS (sections.js) holds every section as
// [address, page, heading, text]; a section is found where each word of the query begins a word of it.
"use strict";

const Search = {
  // Words as they are asked for: --set, limits.neurons, E0666, pop16_slots.
  terms: query => query.toLowerCase().split(/[\s,;()[\]{}"`]+/).filter(Boolean),

  // Number of places in a text where a word begins with the term.
  count(text, term) {
    let n = 0;
    for (let i = text.indexOf(term); i >= 0; i = text.indexOf(term, i + term.length))
      if (i === 0 || !/[\p{L}\p{N}_]/u.test(text[i - 1]) || !/[\p{L}\p{N}_]/u.test(term[0])) n++;
    return n;
  },

  // Headings count more than text, whole headings most; the order of pages settles ties.
  score(section, terms) {
    let sum = 0;
    for (const term of terms) {
      const [page, heading, text] = section.lower.map(s => Search.count(s, term));
      if (page + heading + text === 0) return 0;
      sum += 8 * Math.min(heading, 1) + 3 * Math.min(page, 1) + Math.min(text, 5) / 5;
      if (section.lower[1] === term) sum += 8;
    }
    return sum;
  },

  find(query) {
    const terms = Search.terms(query);
    if (terms.length === 0) return [];
    Search.sections ??= SECTIONS.map(([address, page, heading, text], order) =>
      ({address, page, heading, text, order, lower: [page, heading, text].map(s => s.toLowerCase())}));
    return Search.sections.map(section => ({section, score: Search.score(section, terms)}))
      .filter(found => found.score > 0)
      .sort((a, b) => b.score - a.score || a.section.order - b.section.order)
      .slice(0, 30).map(found => found.section);
  },

  // Some words around the first place of a term, with the term marked.
  excerpt(text, terms) {
    const lower = text.toLowerCase();
    const places = terms.map(t => lower.indexOf(t)).filter(i => i >= 0);
    const at = places.length ? Math.min(...places) : 0;
    const from = Math.max(0, lower.lastIndexOf(" ", at - 40) + 1);
    const out = document.createElement("small");
    let rest = (from > 0 ? "… " : "") + text.slice(from, from + 150) + (from + 150 < text.length ? " …" : "");
    while (rest) {
      const low = rest.toLowerCase();
      const hits = terms.map(t => [low.indexOf(t), t]).filter(([i]) => i >= 0).sort((a, b) => a[0] - b[0]);
      if (hits.length === 0) break;
      const [i, term] = hits[0], mark = document.createElement("mark");
      mark.textContent = rest.slice(i, i + term.length);
      out.append(rest.slice(0, i), mark);
      rest = rest.slice(i + term.length);
    }
    out.append(rest);
    return out;
  },
};

const Box = {
  query: document.getElementById("query"),
  results: document.getElementById("results"),

  show() {
    const terms = Search.terms(Box.query.value), found = Search.find(Box.query.value);
    Box.results.replaceChildren(...found.map(section => {
      const link = document.createElement("a"), name = document.createElement("b");
      link.href = section.address;
      link.role = "option";
      name.textContent = section.heading;
      link.append(name, section.heading === section.page ? "" : ` · ${section.page}`,
                  Search.excerpt(section.text, terms));
      return link;
    }));
    if (terms.length && found.length === 0) {
      const none = document.createElement("p");
      none.textContent = "nothing found";
      Box.results.append(none);
    }
    Box.results.hidden = terms.length === 0;
  },

  move(step) {
    const links = [...Box.results.querySelectorAll("a")];
    const at = links.findIndex(a => a.ariaSelected === "true");
    const next = Math.max(0, Math.min(links.length - 1, at + step));
    links.forEach((a, i) => { a.ariaSelected = String(i === next); });
    links[next]?.scrollIntoView({block: "nearest"});
  },

  open() {
    const link = Box.results.querySelector('[aria-selected="true"]') ?? Box.results.querySelector("a");
    if (link) {
      Box.close();
      location.href = link.href;
    }
  },

  close() {
    Box.results.hidden = true;
    Box.query.blur();
  },
};

const Theme = {
  // Without storage (some browsers keep none for files) a choice lasts for the page.
  stored() { try { return localStorage.getItem("theme"); } catch { return null; } },
  keep(theme) { try { localStorage.setItem("theme", theme); } catch { /* for this page only */ } },
  set(theme) { if (theme) document.documentElement.dataset.theme = theme; },
  turn() {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    Theme.set(dark ? "light" : "dark");
    Theme.keep(document.documentElement.dataset.theme);
  },
};

const Menu = {
  button: document.getElementById("menu"),
  nav: document.getElementById("navigation"),
  turn(open = !Menu.nav.classList.contains("open")) {
    Menu.nav.classList.toggle("open", open);
    Menu.button.ariaExpanded = String(open);
  },
};

Theme.set(Theme.stored());
document.getElementById("theme").addEventListener("click", Theme.turn);
Menu.button.addEventListener("click", () => Menu.turn());
Menu.nav.addEventListener("click", event => { if (event.target.closest("a")) Menu.turn(false); });
Menu.nav.querySelector("[aria-current]")?.scrollIntoView({block: "nearest"});
Box.query.addEventListener("input", Box.show);
Box.query.addEventListener("focus", Box.show);
Box.results.addEventListener("click", event => { if (event.target.closest("a")) Box.close(); });
document.getElementById("search").addEventListener("submit", event => { event.preventDefault(); Box.open(); });
document.addEventListener("click", event => { if (!event.target.closest("#search")) Box.results.hidden = true; });
document.addEventListener("keydown", event => {
  if (event.key === "Escape") { Box.close(); Menu.turn(false); }
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    Box.query.select();
  }
  if (document.activeElement === Box.query && /^Arrow(Up|Down)$/.test(event.key)) {
    event.preventDefault();
    Box.move(event.key === "ArrowDown" ? 1 : -1);
  }
});
