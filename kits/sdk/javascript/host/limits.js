// The rates and quotas of usage plans, and token buckets that the filter defines itself.

import limits from "windlass:host/limits";

const calls = {
  /** What the plan of the request's key allows, or `uncharged` with the reason why nothing was decided. */
  charge(cost = 1, plan = null) {
    try {
      return { decision: limits.charge(plan, cost), uncharged: null };
    } catch (error) {
      if (typeof error.payload !== "string") throw error;
      return { decision: null, uncharged: error.payload };
    }
  },
  take: (plan, key, cost = 1) => limits.take(plan, key, cost),
  takeInline: (key, { cost = 1, capacity, refillPerSecond }) => limits.takeInline(key, cost, capacity, refillPerSecond),
  giveBack: (ticket) => limits.giveBack(ticket),
  standing: () => limits.standing(),
};

export { calls as limits };
