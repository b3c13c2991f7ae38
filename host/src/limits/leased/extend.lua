-- Sets what may be used beyond a quota's limit, so that so much remains from now on; or, without
-- that, says where it stands. What gateways hold and did not use counts as remaining, and is asked
-- back, so that each of them asks anew.
-- ARGV: the name, the limit, what is to remain (or nothing), when the period ends, the gateway's id.
-- Answers the total that was used and the extension.
local base = string.sub(KEYS[1], 1, -5)
local key = base .. 'budget:' .. ARGV[1]
local kept = redis.call('HMGET', key, 'base', 'used', 'extra')
local total, extra = tonumber(kept[1] or 0) + tonumber(kept[2] or 0), tonumber(kept[3] or 0)
if ARGV[3] ~= '' then
    extra = total + tonumber(ARGV[3]) - tonumber(ARGV[2])
    redis.call('HSET', key, 'extra', extra)
    redis.call('PEXPIREAT', key, ARGV[4])
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do
        local id = string.match(flat[i], '^lease:(.*)$')
        local owner = id and string.match(flat[i + 1], '^%d+ %d+ (.*)$')
        if id and id ~= ARGV[5] then
            redis.call('SADD', base .. 'recall:' .. id, owner)
            redis.call('PEXPIRE', base .. 'recall:' .. id, 10000)
        end
    end
end
return { total, extra }
