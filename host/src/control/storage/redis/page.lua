-- Keys in the order of their ids, some of them.
-- ARGV: an id for an empty store, the name of a sorted set of ids, where to begin (as ZRANGEBYLEX
-- says it), how many.
-- Answers the store's id and revision, and for each key its id, its row and when it was last used.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local ids = redis.call('ZRANGEBYLEX', base .. ARGV[2], ARGV[3], '+', 'LIMIT', 0, tonumber(ARGV[4]))
local rows = {}
for _, id in ipairs(ids) do
    local row = redis.call('HGET', base .. 'keys', id)
    rows[#rows + 1] = { id, row, redis.call('HGET', base .. 'last-used', id) }
end
return { meta.store, meta.revision, rows }
