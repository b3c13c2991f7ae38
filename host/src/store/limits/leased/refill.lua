-- Settles what one gateway used, and grants what it asks for.
-- ARGV: the gateway's id, the number of its call, the server's process, the process that the gateway
-- knew before (or nothing), then each bound:
--   Q name spent back want limit floor ends_ms
--   R name spent back want burst per_second
-- `floor` is the highest total that the gateway saw, where it must be told; else nothing.
-- Answers how many gateways there are, and for each bound what was granted, what is left, how long
-- to wait for more (milliseconds), the total and the extension.
local base = string.sub(KEYS[1], 1, -5)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local gateway, number, process, before = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('ZADD', base .. 'gateways', now, gateway)
redis.call('ZREMRANGEBYSCORE', base .. 'gateways', '-inf', now - 3000)
local gateways = redis.call('ZCARD', base .. 'gateways')

-- After a restart of the server it may have forgotten what it granted: nothing is granted of
-- quotas until all gateways had the time to say what they know.
local settling = base .. 'settling'
if before ~= '' and before ~= process and redis.call('HGET', settling, 'process') ~= process then
    redis.call('HSET', settling, 'process', process, 'until', now + 1000)
end
local until_ms = tonumber(redis.call('HGET', settling, 'until') or 0)
local is_settled = until_ms <= now or redis.call('HGET', settling, 'process') ~= process

-- A call whose answer was lost comes again with its number: it is answered again, and not carried out
-- again.
local answered = base .. 'answer:' .. gateway
local kept = redis.call('HMGET', answered, 'number', 'answers')
if kept[1] == number then
    return { gateways, cmsgpack.unpack(kept[2]) }
end

local function share(want, left)
    if want <= 0 or left < 1 then
        return 0
    end
    return math.min(want, math.floor(left), math.max(1, math.floor(left / (2 * gateways))))
end

local function quota(name, spent, back, want, limit, floor, ends)
    local key = base .. 'budget:' .. name
    local kept = redis.call('HMGET', key, 'process', 'base', 'used', 'extra')
    local from, used, extra = tonumber(kept[2] or 0), tonumber(kept[3] or 0), tonumber(kept[4] or 0)
    if kept[1] ~= process then
        from, used = from + used, 0
    end
    if floor ~= '' then
        from = math.max(from, tonumber(floor))
    end
    used = math.max(used + spent - back, -from)
    local left = limit + extra - from - used
    local granted = is_settled and share(want, left) or 0
    used = used + granted
    redis.call('HSET', key, 'process', process, 'base', from, 'used', used)
    redis.call('PEXPIREAT', key, ends)
    local wait = is_settled and 1000 or math.ceil(until_ms - now)
    return { granted, is_settled and math.max(left - granted, 0) or 0, wait, from + used, extra }
end

local function rate(name, spent, back, want, burst, per_second)
    local key = base .. 'bucket:' .. name
    local kept = redis.call('HMGET', key, 'tokens', 'at')
    local tokens, at = tonumber(kept[1] or burst), tonumber(kept[2] or now)
    tokens = math.min(burst, tokens + math.max(now - at, 0) / 1000 * per_second)
    -- However much was used while nobody could ask, it is paid for within a few fillings.
    tokens = math.max(math.min(burst, tokens - spent + back), -burst * gateways)
    local granted = share(want, tokens)
    tokens = tokens - granted
    local wait = tokens >= 1 and 0 or math.ceil((1 - tokens) / per_second * 1000)
    local full = (burst - tokens) / per_second * 1000
    redis.call('HSET', key, 'tokens', tokens, 'at', math.max(at, now))
    redis.call('PEXPIRE', key, string.format('%.0f', math.min(full + 60000, 4e15)))
    return { granted, math.max(math.floor(tokens), 0), math.min(wait, 4e15), 0, 0 }
end

local answers = {}
local at = 5
while at <= #ARGV do
    local name = ARGV[at + 1]
    local spent, back, want = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local most = tonumber(ARGV[at + 5])
    if ARGV[at] == 'Q' then
        answers[#answers + 1] = quota(name, spent, back, want, most, ARGV[at + 6], ARGV[at + 7])
        at = at + 8
    else
        answers[#answers + 1] = rate(name, spent, back, want, most, tonumber(ARGV[at + 6]))
        at = at + 7
    end
end
if #answers > 0 then
    redis.call('HSET', answered, 'number', number, 'answers', cmsgpack.pack(answers))
    redis.call('PEXPIRE', answered, 3600000)
end
return { gateways, answers }
