-- Sets what may be used beyond a quota's limit, so that so much remains from now on; or, without
-- that, says where it stands.
-- ARGV: the name, the limit, what is to remain (or nothing), when the period ends.
-- Answers the total that was used and the extension.
local key = string.sub(KEYS[1], 1, -5) .. 'budget:' .. ARGV[1]
local kept = redis.call('HMGET', key, 'base', 'used', 'extra')
local total, extra = tonumber(kept[1] or 0) + tonumber(kept[2] or 0), tonumber(kept[3] or 0)
if ARGV[3] ~= '' then
    extra = total + tonumber(ARGV[3]) - tonumber(ARGV[2])
    redis.call('HSET', key, 'extra', extra)
    redis.call('PEXPIREAT', key, ARGV[4])
end
return { total, extra }
