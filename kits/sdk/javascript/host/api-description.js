// The APIs in the configuration of the exchange.

import description from "windlass:host/api-description";

const calls = {
  read() {
    const text = description.read();
    return text === "" ? null : JSON.parse(text);
  },
  digest: () => description.digest(),
};

export { calls as apiDescription };
