// Preflights of browsers: `preflights.answer()` in `configure` says that `onRequest` answers them.

import preflights from "windlass:host/preflights";

const calls = { answer: () => preflights.answer() };

export { calls as preflights };
