// Parameters of the request, still encoded: for filters that build paths, queries and redirects.

import params from "windlass:host/raw-params";

const calls = {
  pathParam: (name) => params.pathParam(name),
  queryParam: (name) => params.queryParam(name),
};

export { calls as rawParams };
