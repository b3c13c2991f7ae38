// More members of a problem body (RFC 9457), for a refusal of the current phase.

import members from "windlass:host/problem-members";

const calls = { set: (object) => members.set(JSON.stringify(object)) };

export { calls as problemMembers };
