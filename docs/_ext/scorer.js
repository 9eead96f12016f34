// How the search of the site orders its results. Guides come before pages of the API, but a name of the API that is
// searched exactly comes first.
var Scorer = {
  score: (result) => {
    const [page, title, anchor, , score] = result;
    const query = (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
    const isGuide = !page.includes("/");
    const isSection = anchor && anchor.replace("#", "") === query.replace(/\s+/g, "-");
    const isInTitle = query.split(/\s+/).every((word) => title.toLowerCase().includes(word));
    return score + (isGuide ? 20 : 0) + (isSection || isInTitle ? 10 : 0);
  },
  objNameMatch: 100,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
