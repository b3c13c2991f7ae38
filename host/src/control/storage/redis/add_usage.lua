-- Adds to what was used, and notes when keys were last used.
-- ARGV: an id for an empty store, how many amounts, then each: plan, key, day, amount, and the kind
-- of its quota's period (or nothing), its number, when it ends, what was used in it; then pairs of a
-- key and when it was last used.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local at = 3
for _ = 1, tonumber(ARGV[2]) do
    local plan, key, day, amount = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local period, number, ends, used = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    at = at + 8
    if amount ~= '0' then
        -- An amount that no counter holds is left out, as nothing can be undone here.
        redis.pcall('HINCRBY', base .. 'usage:' .. day .. ':' .. plan, key, amount)
        redis.call('ZADD', base .. 'usage-days', day, day .. ':' .. plan)
        redis.call('ZADD', base .. 'usage-keys:' .. plan, 0, key)
        redis.call('ZADD', base .. 'usage-last:' .. plan, 'GT', day, key)
        redis.call('SADD', base .. 'usage-plans', plan)
    end
    if period ~= '' then
        local name = period .. ':' .. number
        redis.call('HSET', base .. 'quota:' .. name, plan .. '\n' .. key, used)
        redis.call('ZADD', base .. 'quotas', ends, name)
    end
end
while at <= #ARGV do
    local last = redis.call('HGET', base .. 'last-used', ARGV[at])
    local is_there = redis.call('HEXISTS', base .. 'keys', ARGV[at]) == 1
    if is_there and (not last or tonumber(last) < tonumber(ARGV[at + 1])) then
        redis.call('HSET', base .. 'last-used', ARGV[at], ARGV[at + 1])
    end
    at = at + 2
end
return 'ok'
