-- What some keys used of a plan.
-- ARGV: an id for an empty store, the plan, the first day, the last day, where to begin and to end
-- (as ZRANGEBYLEX says it), how many keys.
-- Answers the last key that was looked at (or nothing), and for each day and key with usage the key,
-- the day and the amount.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local plan, first, last = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local keys = redis.call('ZRANGEBYLEX', base .. 'usage-keys:' .. plan, ARGV[5], ARGV[6], 'LIMIT', 0, tonumber(ARGV[7]))
local days = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'usage-days', first, last)) do
    local day, of = string.match(name, '^(%d+):(.*)$')
    if of == plan then
        days[#days + 1] = day
    end
end
local rows = {}
for _, key in ipairs(keys) do
    for _, day in ipairs(days) do
        local amount = redis.call('HGET', base .. 'usage:' .. day .. ':' .. plan, key)
        if amount then
            rows[#rows + 1] = { key, day, amount }
        end
    end
end
return { keys[#keys] or false, rows }
