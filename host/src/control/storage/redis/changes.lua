-- What was committed after a revision, some of it: whole commits only, at least one.
-- ARGV: an id for an empty store, the revision, about how many changes.
-- Answers the store's id, its revision, the revision that cannot be told any more, the revision
-- that these changes lead to, and pairs of a name (`k` or `p` before it) and its row.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local since, most = ARGV[2], tonumber(ARGV[3])
local names = base .. 'changes'
local found = redis.call('ZRANGEBYSCORE', names, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local till = meta.revision
if #found == 2 * most then
    -- The last commit may go on beyond: leave it for the next call, unless it is the only one.
    local last = found[#found]
    if found[2] == last then
        found = redis.call('ZRANGEBYSCORE', names, last, last, 'WITHSCORES')
        till = last
    else
        while found[#found] == last do
            found[#found] = nil
            found[#found] = nil
        end
        till = found[#found]
    end
end
local rows = {}
for at = 1, #found, 2 do
    local name = string.sub(found[at], 2)
    local kind = string.sub(found[at], 1, 1) == 'k' and 'keys' or 'plans'
    rows[#rows + 1] = { found[at], redis.call('HGET', base .. kind, name) }
end
return { meta.store, meta.revision, meta.floor, till, rows }
