-- Raises what was used of quotas.
-- ARGV: `whole` (so much was used at least, and what is more stays) or `more` (so much more), then
-- for each quota its name, the amount, when its period ends.
local base = string.sub(KEYS[1], 1, -5)
for at = 2, #ARGV, 3 do
    local key = base .. 'budget:' .. ARGV[at]
    local kept = redis.call('HMGET', key, 'base', 'used')
    local from, more = tonumber(kept[1] or 0), tonumber(ARGV[at + 1])
    if ARGV[1] == 'whole' then
        more = more - from - tonumber(kept[2] or 0)
    end
    if more > 0 then
        redis.call('HSET', key, 'base', string.format('%.0f', from + more))
        redis.call('PEXPIREAT', key, ARGV[at + 2])
    end
end
